"""Label book: a database of categories, items to look at and what each rater said. Nothing in it is ever deleted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    select,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from unclip_labels.specifications import Specification, parse
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

DATABASE = "labels/labels.db"
YES, NO, UNSURE = "yes", "no", "unsure"
VALUES = (YES, NO, UNSURE)
DISPUTED = "disputed"
TRAIN, HELD_OUT = "train", "held_out"
SEEDS_RATER = "seeds"
MAX_RATER = 64


class LabelTable(DeclarativeBase):
    """The tables of the label book."""


class SpecificationRow(LabelTable):
    """One wording of a category's page; the latest one holds."""

    __tablename__ = "specifications"
    id: Mapped[int] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(String(40), index=True)
    digest: Mapped[str] = mapped_column(String(12))
    text: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime)


class ItemRow(LabelTable):
    """A picture that raters are asked about: in which part and round, why, and how many raters should look."""

    __tablename__ = "items"
    __table_args__ = (UniqueConstraint("category", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(String(40), index=True)
    key: Mapped[str] = mapped_column(String(64))
    part: Mapped[str] = mapped_column(String(8))
    round: Mapped[int] = mapped_column(Integer)
    why: Mapped[str] = mapped_column(String(16))
    score: Mapped[float | None] = mapped_column(Float)
    raters: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime)


class LabelRow(LabelTable):
    """What a rater said, by which wording of the page; `withdrawn` is when it was taken back or replaced."""

    __tablename__ = "labels"
    __table_args__ = (Index("labels_by_item", "item_id", "rater"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    rater: Mapped[str] = mapped_column(String(MAX_RATER), index=True)
    value: Mapped[str] = mapped_column(String(8))
    specification: Mapped[str] = mapped_column(String(12))
    at: Mapped[datetime] = mapped_column(DateTime)
    withdrawn: Mapped[datetime | None] = mapped_column(DateTime)


class BreakRow(LabelTable):
    """When a rater rested."""

    __tablename__ = "breaks"
    id: Mapped[int] = mapped_column(primary_key=True)
    rater: Mapped[str] = mapped_column(String(MAX_RATER), index=True)
    at: Mapped[datetime] = mapped_column(DateTime)


@dataclass(frozen=True)
class Item:
    """A picture to look at. `labels` is what each rater says of it now."""

    key: str
    part: str
    round: int
    why: str
    raters: int
    labels: Mapping[str, str]

    @property
    def consensus(self) -> str | None:
        """What the raters agree on, `disputed` when as many say yes as no, None while nobody was sure."""
        counts = Counter(value for value in self.labels.values() if value != UNSURE)
        if not counts:
            return None
        return DISPUTED if counts[YES] == counts[NO] else max(counts, key=lambda value: counts[value])

    @property
    def is_open(self) -> bool:
        """Whether one more rater should look: too few did, or those who did disagree."""
        return len(self.labels) < self.raters or self.consensus == DISPUTED


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class LabelStore:
    """Categories, items and labels in one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        LabelTable.metadata.create_all(engine)

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()

    def define(self, specification: Specification) -> None:
        """Makes this the wording that holds for its category; the same wording twice changes nothing."""
        with Session(self.engine) as session, session.begin():
            last = _last_wording(session, specification.category)
            if last is None or last.digest != specification.digest:
                session.add(
                    SpecificationRow(category=specification.category, digest=specification.digest, text=specification.text, at=now())
                )

    def categories(self) -> list[str]:
        """The names of all categories, sorted."""
        with Session(self.engine) as session:
            return sorted(session.scalars(select(SpecificationRow.category).distinct()))

    def specification(self, category: str) -> Specification:
        """The wording that holds; `UserError` when there is no such category."""
        with Session(self.engine) as session:
            row = _last_wording(session, category)
        if row is None:
            known = ", ".join(self.categories()) or "none yet"
            raise UserError(f"there is no category {category!r} (known: {known}); `unclip label define PAGE.md` makes one")
        return parse(category, row.text)

    def add_items(
        self, category: str, keys: Iterable[str], part: str, why: str, raters: int = 1, scores: Mapping[str, float] | None = None
    ) -> int:
        """Asks about pictures that were not asked about before, as one round; gives how many."""
        assert part in (TRAIN, HELD_OUT) and raters >= 1
        self.specification(category)
        with Session(self.engine) as session, session.begin():
            known = set(session.scalars(select(ItemRow.key).where(ItemRow.category == category)))
            last = session.scalar(select(func.max(ItemRow.round)).where(ItemRow.category == category)) or 0
            fresh = [key for key in dict.fromkeys(keys) if key not in known]
            session.add_all(
                ItemRow(
                    category=category, key=key, part=part, round=last + 1, why=why, raters=raters, score=(scores or {}).get(key), at=now()
                )
                for key in fresh
            )
        return len(fresh)

    def items(self, category: str) -> list[Item]:
        """All items of a category with what their raters say now, in the order they were asked for."""
        with Session(self.engine) as session:
            said = dict[int, dict[str, str]]()
            query = select(LabelRow).join(ItemRow).where(ItemRow.category == category, LabelRow.withdrawn.is_(None)).order_by(LabelRow.id)
            for label in session.scalars(query):
                said.setdefault(label.item_id, {})[label.rater] = label.value
            rows = session.scalars(select(ItemRow).where(ItemRow.category == category).order_by(ItemRow.id))
            return [Item(row.key, row.part, row.round, row.why, row.raters, said.get(row.id, {})) for row in rows]

    def label(self, category: str, key: str, rater: str, value: str) -> None:
        """Writes down what a rater says; what he said before of this picture is marked as withdrawn. `UserError` on anything unknown."""
        if value not in VALUES:
            raise UserError(f"the label {value!r} is none of {', '.join(VALUES)}; choose one of them")
        wording, at = self.specification(category).digest, now()
        with Session(self.engine) as session, session.begin():
            item = _item(session, category, key)
            for earlier in session.scalars(select(LabelRow).where(_holds(item, check_rater(rater)))):
                earlier.withdrawn = at
            session.add(LabelRow(item_id=item.id, rater=rater, value=value, specification=wording, at=at))

    def undo(self, category: str, rater: str) -> str | None:
        """Takes back the rater's last label and gives its key, or None; what was said of that picture before stays withdrawn."""
        query = (
            select(LabelRow)
            .join(ItemRow)
            .where(ItemRow.category == category, LabelRow.rater == rater, LabelRow.withdrawn.is_(None))
            .order_by(LabelRow.id.desc())
        )
        with Session(self.engine) as session, session.begin():
            last = session.scalars(query.limit(1)).one_or_none()
            if last is None:
                return None
            last.withdrawn = now()
            return session.get_one(ItemRow, last.item_id).key

    def next_item(self, category: str, rater: str, first: str | None = None) -> Item | None:
        """What this rater should look at now: `first` when it is open to him, else the earliest round's, in the order asked for."""
        todo = [item for item in self.items(category) if item.is_open and rater not in item.labels]
        return next((item for item in todo if item.key == first), None) or min(todo, key=lambda item: item.round, default=None)

    def history(self, category: str, key: str) -> list[tuple[str, str, bool]]:
        """Everything that was ever said of a picture, the oldest first: rater, value, whether it still holds."""
        with Session(self.engine) as session:
            query = select(LabelRow).join(ItemRow).where(ItemRow.category == category, ItemRow.key == key).order_by(LabelRow.id)
            return [(row.rater, row.value, row.withdrawn is None) for row in session.scalars(query)]

    def all_labels(self, category: str) -> list[dict[str, str | None]]:
        """Every label ever given to a category, the withdrawn ones included, in the order they were given."""
        query = select(LabelRow, ItemRow.key, ItemRow.part).join(ItemRow).where(ItemRow.category == category).order_by(LabelRow.id)
        with Session(self.engine) as session:
            return [
                {
                    "key": key,
                    "rater": label.rater,
                    "label": label.value,
                    "part": part,
                    "specification": label.specification,
                    "at": label.at.isoformat(timespec="seconds"),
                    "withdrawn": label.withdrawn.isoformat(timespec="seconds") if label.withdrawn else None,
                }
                for label, key, part in session.execute(query)
            ]

    def rest(self, rater: str) -> None:
        """Writes down that a rater took a break now."""
        with Session(self.engine) as session, session.begin():
            session.add(BreakRow(rater=check_rater(rater), at=now()))

    def work_since_rest(self, rater: str) -> Sequence[datetime]:
        """When the rater gave labels since the last break, the oldest first, of all categories."""
        with Session(self.engine) as session:
            rested = session.scalar(select(func.max(BreakRow.at)).where(BreakRow.rater == rater))
            query = select(LabelRow.at).where(LabelRow.rater == rater).order_by(LabelRow.at)
            return list(session.scalars(query if rested is None else query.where(LabelRow.at > rested)))


def check_rater(rater: str) -> str:
    """The name itself; `UserError` when it is empty, too long or not plain."""
    if not rater.strip() or rater != rater.strip() or len(rater) > MAX_RATER or not rater.isprintable():
        raise UserError(f"the rater's name {rater[:80]!r} must be 1 to {MAX_RATER} printable characters; choose another")
    return rater


def _last_wording(session: Session, category: str) -> SpecificationRow | None:
    query = select(SpecificationRow).where(SpecificationRow.category == category).order_by(SpecificationRow.id.desc())
    return session.scalars(query.limit(1)).one_or_none()


def _item(session: Session, category: str, key: str) -> ItemRow:
    row = session.scalars(select(ItemRow).where(ItemRow.category == category, ItemRow.key == key)).one_or_none()
    if row is None:
        raise UserError(f"nobody was asked about {key!r} in {category!r}; `unclip label next {category}` asks about pictures")
    return row


def _holds(item: ItemRow, rater: str) -> ColumnElement[bool]:
    return (LabelRow.item_id == item.id) & (LabelRow.rater == rater) & LabelRow.withdrawn.is_(None)


def open_labels(store: Store) -> LabelStore:
    """The label book of the store, made when missing, readable by its owner only. `UserError` when it cannot be opened."""
    path = store.local_path(DATABASE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        return LabelStore(create_engine(f"sqlite:///{path}", connect_args={"timeout": 30}))
    except (OSError, OperationalError) as error:
        raise UserError(f"the label book {path} cannot be opened ({error}); check the folder's permissions and the disk") from error
