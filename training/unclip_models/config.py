"""Sizes of the networks: a frozen dataclass per network, to and from the JSON that travels with the weights."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unclip_pairs.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CODE_VERSION = 1
"""Raised when a network's layout changes, so that weights of another layout are refused instead of half loaded."""
STORED = "stored"
"""Key of a field's metadata: the name under which files know the field, where it is not the field's own."""


def _check(fine: bool, field: str, value: object, remedy: str) -> None:
    if not fine:
        raise UserError(f"{field} is {value}, but {remedy}.")


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """A transformer: `heads` must divide `width`."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        _check(self.width % self.heads == 0, "heads", self.heads, f"it must divide width {self.width}")


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Both towers of CLIP; pictures are `image_size` square, captions `context` tokens, embeddings `embed_dim` wide.

    With `residual_blocks`, one number for each of four stages, the image tower is CLIP's modified ResNet, `vision.width` channels wide
    at its stem; it learns far faster than a ViT where pictures and minutes are few. `patch_size` then says nothing. With `locked`, the
    image tower is a frozen EfficientNet-lite0 and a whitened projection of its features; only the text tower learns (LiT). With
    `word_width`, token embeddings are a frozen table of that width, learned from much text elsewhere, and a linear layer of its own.
    """

    image_size: int
    patch_size: int
    vision: TowerConfig
    text: TowerConfig
    vocab_size: int
    context: int
    embed_dim: int
    residual_blocks: tuple[int, int, int, int] | None = None
    locked: bool = False
    word_width: int = 0

    def __post_init__(self) -> None:
        _check(self.image_size % self.patch_size == 0, "patch_size", self.patch_size, f"it must divide image_size {self.image_size}")


@dataclass(frozen=True, kw_only=True)
class EmbeddingRegressorConfig:
    """A perceptron of `depth` hidden layers of `width` that predicts the image embedding from the text's."""

    width: int
    depth: int


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The diffusion prior. `text_width` and `context` are those of CLIP's text tower; `embedding_scale` is the paper's 17.2.

    With a `regressor`, embeddings are whitened and the transformer only predicts the regressor's residual. Files know it as `guess`.
    With `linear_path`, embeddings are whitened and a linear layer from the text embedding is added to the output: what each word of a
    caption does to the mean adds up, so it holds for combinations that were never seen.
    """

    embed_dim: int
    text_width: int
    context: int
    tower: TowerConfig
    embedding_scale: float = 17.2
    dropout: float = 0.0
    linear_path: bool = False
    regressor: EmbeddingRegressorConfig | None = field(default=None, metadata={STORED: "guess"})


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A U-Net of the ADM kind: level i works at `side >> i` with `channels * multipliers[i]` channels; attention at the sides named.

    `condition_width` is the width of the vector that conditions every block; 0 is ADM's 4 * channels.
    """

    side: int
    channels: int
    multipliers: tuple[int, ...]
    num_blocks: int
    attention_sides: tuple[int, ...] = ()
    head_channels: int = 64
    dropout: float = 0.0
    num_groups: int = 32
    condition_width: int = 0

    def __post_init__(self) -> None:
        sides = [self.side >> i for i in range(len(self.multipliers))]
        _check(self.side % (1 << (len(self.multipliers) - 1)) == 0, "side", self.side, f"it must be halved {len(sides) - 1} times")
        _check(set(self.attention_sides) <= set(sides), "attention_sides", self.attention_sides, f"each must be one of {sides}")
        _check(self.channels % self.num_groups == 0, "num_groups", self.num_groups, f"it must divide channels {self.channels}")
        heads_fit = all(
            self.channels * m % self.head_channels == 0 for m, s in zip(self.multipliers, sides, strict=True) if s in self.attention_sides
        )
        _check(heads_fit, "head_channels", self.head_channels, "it must divide the channels of every level with attention")

    @property
    def time_width(self) -> int:
        """Width of the vector that conditions every block."""
        return self.condition_width or 4 * self.channels


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The paper's decoder: GLIDE's U-Net and text encoder, `image_tokens` extra tokens of the CLIP embedding, learned sigma."""

    unet: UNetConfig
    text: TowerConfig
    vocab_size: int
    context: int
    embed_dim: int
    image_tokens: int = 4

    @property
    def image_size(self) -> int:
        return self.unet.side


@dataclass(frozen=True, kw_only=True)
class PictureRegressorConfig:
    """A perceptron of `depth` hidden layers of `width` that predicts `components` principal components of the picture."""

    width: int
    depth: int
    components: int


@dataclass(frozen=True, kw_only=True)
class CompactDecoderConfig:
    """A decoder for minutes on a CPU: pixels are folded by `patch` (so `unet.side` is image_size / patch), the embedding enters thrice.

    `image_tokens` context tokens for the attention, `map_side` the side of the spatial map drawn from the embedding,
    `text_width` the width of CLIP's token features (0: the decoder reads no text).
    A `regressor` predicts the mean picture of an embedding; files know it as `sketch`.
    """

    image_size: int
    patch: int
    unet: UNetConfig
    embed_dim: int
    image_tokens: int = 4
    map_side: int = 8
    text_width: int = 0
    regressor: PictureRegressorConfig | None = field(default=None, metadata={STORED: "sketch"})

    def __post_init__(self) -> None:
        _check(
            self.unet.side * self.patch == self.image_size,
            "unet.side",
            self.unet.side,
            f"it must be image_size / patch = {self.image_size / self.patch}",
        )
        _check(self.unet.side % self.map_side == 0, "map_side", self.map_side, f"it must divide unet.side {self.unet.side}")


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig:
    """The paper's upsampler: convolutions only, the small picture enlarged and concatenated; `unet.side` is the output side in use."""

    low_size: int
    unet: UNetConfig

    def __post_init__(self) -> None:
        _check(not self.unet.attention_sides, "attention_sides", self.unet.attention_sides, "an upsampler has none")

    @property
    def image_size(self) -> int:
        return self.unet.side


@dataclass(frozen=True, kw_only=True)
class CompactUpsamplerConfig:
    """An upsampler for minutes on a CPU: pixels folded by `patch`, and the network adds detail to the enlarged picture.

    With `embed_dim`, it is conditioned on the CLIP embedding too, which the paper's upsamplers are not.
    """

    low_size: int
    image_size: int
    patch: int
    unet: UNetConfig
    embed_dim: int = 0

    def __post_init__(self) -> None:
        _check(
            self.unet.side * self.patch == self.image_size,
            "unet.side",
            self.unet.side,
            f"it must be image_size / patch = {self.image_size / self.patch}",
        )
        _check(not self.unet.attention_sides, "attention_sides", self.unet.attention_sides, "an upsampler has none")


AnyDecoderConfig = DecoderConfig | CompactDecoderConfig
AnyUpsamplerConfig = UpsamplerConfig | CompactUpsamplerConfig
NetworkConfig = ClipConfig | PriorConfig | AnyDecoderConfig | AnyUpsamplerConfig

KINDS: dict[str, type[NetworkConfig]] = {
    "clip": ClipConfig,
    "prior": PriorConfig,
    "decoder": DecoderConfig,
    "compact_decoder": CompactDecoderConfig,
    "upsampler": UpsamplerConfig,
    "compact_upsampler": CompactUpsamplerConfig,
}
Part = TypeVar("Part", bound=NetworkConfig | TowerConfig | UNetConfig | EmbeddingRegressorConfig | PictureRegressorConfig)
_PARTS: dict[str, type[TowerConfig | UNetConfig | EmbeddingRegressorConfig | PictureRegressorConfig]] = {
    "guess": EmbeddingRegressorConfig,
    "sketch": PictureRegressorConfig,
    "vision": TowerConfig,
    "text": TowerConfig,
    "tower": TowerConfig,
    "unet": UNetConfig,
}


def to_json(config: NetworkConfig) -> dict[str, object]:
    """The config as plain values, with its `kind` and the code version that wrote it."""
    kind = next(name for name, known in KINDS.items() if type(config) is known)
    return {"kind": kind, "code_version": CODE_VERSION, **as_stored(config)}


def as_stored(config: "DataclassInstance") -> dict[str, object]:
    """Plain data of a dataclass and of those inside it, each field under the name that files know it by."""
    return {_stored_name(one): _plain(getattr(config, one.name)) for one in fields(config)}


def _plain(value: object) -> object:
    return as_stored(value) if is_dataclass(value) and not isinstance(value, type) else value


def _stored_name(one: Field[object]) -> str:
    return one.metadata.get(STORED, one.name)


def from_json(value: Mapping[str, object]) -> NetworkConfig:
    """The config `to_json` wrote. `UserError` on an unknown kind, another code version, or a missing or unknown field."""
    rest = dict(value)
    kind, version = rest.pop("kind", None), rest.pop("code_version", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"The network kind is {kind!r}, but this version knows only {', '.join(KINDS)}; use the version that wrote it.")
    if version != CODE_VERSION:
        raise UserError(
            f"code_version is {version!r}, but this version reads {CODE_VERSION}; train again or use the version that wrote it."
        )
    return _build(KINDS[kind], rest)


def _build(cls: type[Part], value: Mapping[str, object]) -> Part:
    names = {_stored_name(one): one.name for one in fields(cls)}
    if unknown := set(value) - set(names):
        raise UserError(f"{cls.__name__} has the unknown field {sorted(unknown)[0]!r}; use the version that wrote it.")
    try:
        return cls(**{names[stored]: _part(stored, part) for stored, part in value.items()})
    except TypeError as error:
        raise UserError(f"{cls.__name__} cannot be read ({error}); use the version that wrote it.") from error


def _part(name: str, value: object) -> Any:
    if isinstance(value, dict):
        return _build(_PARTS[name], value)
    return tuple(value) if isinstance(value, list) else value
