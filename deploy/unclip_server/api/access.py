"""Access database: keys of which only the hash is kept, and the audit log."""

import contextlib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import DateTime, Engine, Integer, LargeBinary, String, create_engine, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

DATABASE = "access/access.db"
KEY_PREFIX = "sk-unclip-"
_NAME = re.compile(r"[\w.@-]{1,64}")


class AccessTable(DeclarativeBase):
    """The tables of the access database."""


class KeyRow(AccessTable):
    """A key: its name, and the sha256 by which it is known again. 256 random bits need no salt and no slow hash."""

    __tablename__ = "keys"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(8))
    created: Mapped[datetime] = mapped_column(DateTime)
    revoked: Mapped[datetime | None] = mapped_column(DateTime)


class SecretRow(AccessTable):
    """A random secret of this server, such as the one that signs links."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)


class RequestRow(AccessTable):
    """One request in the audit log: who, what (as a digest), painted by which model, how it ended."""

    __tablename__ = "requests"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime)
    key_name: Mapped[str] = mapped_column(String(64), index=True)
    user: Mapped[str] = mapped_column(String(256))
    model: Mapped[str] = mapped_column(String(64))
    prompt_sha256: Mapped[str] = mapped_column(String(64))
    source_sha256: Mapped[str | None] = mapped_column(String(64))
    pictures: Mapped[int] = mapped_column(Integer)
    first_seed: Mapped[str] = mapped_column(String(20))
    outcome: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class Key:
    """A key without its secret. `hint` is its last four characters."""

    name: str
    hint: str
    created: datetime
    revoked: datetime | None


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """What is remembered of a request; the prompt, or the file of the picture that was to be varied, only as its sha256."""

    request_id: str
    key_name: str
    user: str
    model: str
    prompt: str | None
    image: bytes | None
    pictures: int
    first_seed: int
    outcome: str


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _add_source_column(engine: Engine) -> None:
    """A database from before there were variations gets their column; its rows keep null."""
    if "source_sha256" not in {column["name"] for column in inspect(engine).get_columns("requests")}:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE requests ADD COLUMN source_sha256 VARCHAR(64)"))


def _key(row: KeyRow) -> Key:
    return Key(row.name, row.hint, row.created, row.revoked)


class AccessDatabase:
    """Keys, secrets and the audit log in one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        AccessTable.metadata.create_all(engine)
        _add_source_column(engine)

    def create(self, name: str) -> str:
        """A new key, shown this once: only its hash is stored. `UserError` when the name is taken or not plain."""
        if not _NAME.fullmatch(name):
            raise UserError(f"the key name {name!r} must be 1 to 64 letters, digits or . _ @ -")
        key = f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
        try:
            with Session(self.engine) as session, session.begin():
                session.add(KeyRow(name=name, digest=_digest(key), hint=key[-4:], created=_now(), revoked=None))
        except IntegrityError as error:
            raise UserError(f"a key named {name!r} exists or existed; choose another name, the audit log needs that one") from error
        return key

    def all_keys(self) -> list[Key]:
        """All keys, the oldest first, revoked ones included."""
        with Session(self.engine) as session:
            return [_key(row) for row in session.scalars(select(KeyRow).order_by(KeyRow.created, KeyRow.name))]

    def revoke(self, name: str) -> Key:
        """Ends a key at once and gives it; ending it twice changes nothing. `UserError` when there is none of that name."""
        with Session(self.engine) as session, session.begin():
            row = session.get(KeyRow, name)
            if row is None:
                raise UserError(f"there is no key named {name!r}; `unclip keys list` shows them")
            row.revoked = row.revoked or _now()
            return _key(row)

    def verify(self, key: str) -> Key | None:
        """The key that this secret belongs to, or None when it is unknown or revoked."""
        digest = _digest(key)
        with Session(self.engine) as session:
            row = session.scalars(select(KeyRow).where(KeyRow.digest == digest)).one_or_none()
            is_known = hmac.compare_digest(row.digest if row else "", digest)
            return _key(row) if row is not None and is_known and row.revoked is None else None

    def secret(self, name: str) -> bytes:
        """32 random bytes, the same at every call with the same name."""
        with contextlib.suppress(IntegrityError), Session(self.engine) as session, session.begin():
            if session.get(SecretRow, name) is None:
                session.add(SecretRow(name=name, value=secrets.token_bytes(32)))
        with Session(self.engine) as session:
            return session.get_one(SecretRow, name).value

    def record(self, entry: AuditEntry) -> None:
        """Adds a request to the audit log."""
        row = RequestRow(
            id=entry.request_id,
            at=_now(),
            key_name=entry.key_name,
            user=entry.user[:256],
            model=entry.model,
            prompt_sha256="" if entry.prompt is None else _digest(entry.prompt),
            source_sha256=None if entry.image is None else hashlib.sha256(entry.image).hexdigest(),
            pictures=entry.pictures,
            first_seed=str(entry.first_seed),
            outcome=entry.outcome,
        )
        with Session(self.engine) as session, session.begin():
            session.add(row)

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()

    def requests(self, key_name: str) -> list[RequestRow]:
        """What a key asked for, the newest first."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(RequestRow).where(RequestRow.key_name == key_name).order_by(RequestRow.at.desc())))


def open_access(store: Store) -> AccessDatabase:
    """The access database of the store, made when missing, readable by its owner only. `UserError` when it cannot be opened."""
    path: Path = store.local_path(DATABASE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        return AccessDatabase(create_engine(f"sqlite:///{path}", connect_args={"timeout": 30}))
    except (OSError, OperationalError) as error:
        raise UserError(f"the access database {path} cannot be opened ({error}); check the folder's permissions and the disk") from error
