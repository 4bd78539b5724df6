"""Assembly of a training: its network, its stage, its data, and how its weights are saved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from unclip_models import checkpoint
from unclip_models.clip import Clip, WordEmbedding
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.config import ClipConfig, CompactDecoderConfig, CompactUpsamplerConfig
from unclip_models.decoder import Decoder
from unclip_models.efficientnet import LockedTower
from unclip_models.prior import Prior
from unclip_models.text import Tokenizer
from unclip_models.upsampler import CompactUpsampler, Upsampler
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import settings_digest
from unclip_pairs.store import Store
from unclip_training import pretrained
from unclip_training.beginning import Beginning, take_judge, take_tokenizer, take_weights
from unclip_training.config import AnyRun, ClipRun, DecoderRun, JudgeRun, PriorRun, UpsamplerRun
from unclip_training.data.batches import Batch, BatchSlice, More, PairsData, Reading, Sources
from unclip_training.data.decoded_cache import DecodedPairs
from unclip_training.data.pair_source import captions_of, raw_samples, read_vector, unpack
from unclip_training.data.streaming import RequiredColumns
from unclip_training.data.views import with_views
from unclip_training.embedder import ClipEmbedder
from unclip_training.judging.judge import Judge, save_judge
from unclip_training.judging.picture_features import picture_features
from unclip_training.locked import LOCKED_SIDE, fitted_once, locked_features
from unclip_training.precision import training_device
from unclip_training.pretraining import RegressionData, pretrain_decoder, pretrain_prior
from unclip_training.stages.clip import ClipStage
from unclip_training.stages.decoder import DecoderStage
from unclip_training.stages.judge import JudgeStage
from unclip_training.stages.pixels import to_pixels
from unclip_training.stages.prior import PriorStage
from unclip_training.stages.upsampler import UpsamplerStage

TOKENIZER_CAPTIONS = 1_000_000  # as many captions as a vocabulary required
STATS_PAIRS = 20_000  # as many embeddings as a mean and a spread need
CAPTIONS_AT_ONCE = 256
PROJECTION_PAIRS = 5_000  # as many pictures as a projection of a few hundred directions needs

AnyStage = ClipStage | JudgeStage | PriorStage | DecoderStage | UpsamplerStage


@dataclass(frozen=True)
class Assembly:
    """What `fit` required; `save` writes the network's weights, as they are now, to a path."""

    stage: AnyStage
    data: PairsData
    save: Callable[[Path], None]


@dataclass(frozen=True)
class TrainingSite:
    """Where a training reads and writes: the store, the pairs, the run's folder, and the run folder of the CLIP it is conditioned on.

    `beginning` are the weights to begin with, None for random ones.
    """

    store: Store
    sources: Sources
    folder: str
    clip: str | None
    beginning: Beginning | None = None


def assemble(site: TrainingSite, run: AnyRun) -> Assembly:
    """The parts of the training. `UserError` when it required a CLIP and none, or one of other sizes, is named, and when the weights to
    begin with do not fit."""
    match run:
        case ClipRun():
            return _clip(site, run)
        case JudgeRun():
            return _judge(site, run)
        case PriorRun():
            return _prior(site, run)
        case DecoderRun():
            return _decoder(site, run)
        case UpsamplerRun():
            return _upsampler(site, run)


def own_tokenizer(site: TrainingSite, vocab: int, context: int) -> Tokenizer:
    """The tokenizer of this run: trained on its captions the first time, or that of the weights it begins with; kept beside the weights."""
    name = f"{site.folder}/tokenizer.json"
    if not site.store.exists(name) and site.beginning is not None:
        take_tokenizer(site.beginning, site.store, name)
    elif not site.store.exists(name):
        captions = (text for sample in raw_samples(site.store, site.sources.training) for text in captions_of(sample))
        trained = Tokenizer.train(list(islice(captions, TOKENIZER_CAPTIONS)), vocab_size=vocab, context=context)
        with site.store.writing(name) as part:
            trained.save(part)
    return Tokenizer.load(site.store.path(name))


def _clip(site: TrainingSite, run: ClipRun) -> Assembly:
    clip = Clip(run.model)
    begins_anew = site.beginning is None
    own = not (run.model.word_width and begins_anew)
    tokenizer = own_tokenizer(site, run.model.vocab_size, run.model.context) if own else _words(site, run, clip)
    if site.beginning is not None:
        take_weights(site.beginning, clip, run.model)
    stage, tower = ClipStage(run, clip), clip.network.visual
    more = _locked(site, tower) if isinstance(tower, LockedTower) else None
    required = RequiredColumns(side=run.side, embeddings=False, captions=True, variation=run.variation)
    data = _data(site, run, Reading(required=required, encode=tokenizer.encode, more=more))
    if isinstance(tower, LockedTower) and begins_anew and not data.fits_in_memory:
        _fit_on_some(site, tower)
    return Assembly(stage, data, lambda path: checkpoint.save(path, stage.network, run.model))


def _words(site: TrainingSite, run: ClipRun, clip: Clip) -> Tokenizer:
    """The tokenizer of the pretrained word vectors, kept beside the weights; the vectors go into the network."""
    name = f"{site.folder}/tokenizer.json"
    if not site.store.exists(name):
        with site.store.writing(name) as part:
            pretrained.word_tokenizer(run.model.context).save(part)
    embedding = clip.network.token_embedding
    assert isinstance(embedding, WordEmbedding)
    embedding.table_VT.copy_(pretrained.word_vectors(run.model.vocab_size, run.model.word_width))
    return Tokenizer.load(site.store.path(name))


def _locked(site: TrainingSite, tower: LockedTower) -> More:
    """The locked embeddings of pairs, which are computed once."""

    def more(pairs: DecodedPairs) -> Batch:
        features = _features_once_fitted(site, tower, pairs.at(LOCKED_SIDE))
        return {"locked_image": nn.functional.normalize(tower.project(features), dim=-1)}

    return more


def _fit_on_some(site: TrainingSite, tower: LockedTower) -> None:
    """Fits the tower on the first pairs of a set that does not fit into memory."""
    samples = islice(raw_samples(site.store, site.sources.training), PROJECTION_PAIRS)
    _features_once_fitted(site, tower, np.stack([unpack(sample, LOCKED_SIDE).picture for sample in samples]))


def _features_once_fitted(site: TrainingSite, tower: LockedTower, pictures_NHWC: NDArray[np.uint8]) -> Tensor:
    """The pictures' features [N, NUM_FEATURES]. The first ones, of training pictures, fit a tower that does not come from elsewhere."""
    if site.beginning is not None:
        return locked_features(tower, pictures_NHWC)
    tower.features.load_state_dict(pretrained.picture_weights())
    features = locked_features(tower, pictures_NHWC)
    fitted_once(site.store, f"{site.folder}/projection-{site.sources.training.digest12}.safetensors", tower, features)
    return features


def _judge(site: TrainingSite, run: JudgeRun) -> Assembly:
    tokenizer = own_tokenizer(site, run.model.vocab, run.model.context)
    judge = Judge(run.model)
    if site.beginning is not None:
        take_judge(site.beginning, judge)
    stage = JudgeStage(run, judge)

    def features(pairs: DecodedPairs) -> Tensor:
        return torch.from_numpy(picture_features(site.store, site.sources.training, pairs))

    def prepare(pairs: DecodedPairs) -> None:
        if site.beginning is not None:
            return
        found = features(pairs)
        judge.mean.copy_(found.mean(0))
        judge.std.copy_(found.std(0).clamp(min=1e-3))

    required = RequiredColumns(side=None, embeddings=False, captions=True, variation=run.variation)
    reading = Reading(required=required, encode=tokenizer.encode, more=lambda pairs: {"features": features(pairs)}, prepare=prepare)
    data = _data(site, run, reading)
    return Assembly(stage, data, lambda path: save_judge(path, judge))


def _prior(site: TrainingSite, run: PriorRun) -> Assembly:
    clip, tokenizer = conditioning(site, run.model.embed_dim, run.model.context)
    network = Prior(run.model)
    if site.beginning is not None:
        take_weights(site.beginning, network, run.model)
    elif run.fit_stats:
        _fit_stats(site, network)
    stage = PriorStage(run, network, clip)

    def prepare(pairs: DecodedPairs) -> None:
        if network.regressor is not None and network.preconditioning is not None:
            parts = nn.ModuleDict({"guess": network.regressor, "shares": network.preconditioning})
            _pretrained(site, run, parts, lambda: pretrain_prior(network, _regression_data(pairs), run))

    required = RequiredColumns(side=None, embeddings=True, captions=True, variation=run.variation)
    read, most = partial(read_texts, clip, tokenizer), run.steps * run.batch_size
    data = _data(site, run, Reading(required=required, encode=tokenizer.encode, read=read, most_read=most, prepare=prepare))
    return Assembly(stage, data, _saver(stage, run))


def _decoder(site: TrainingSite, run: DecoderRun) -> Assembly:
    clip, tokenizer = conditioning(site, run.model.embed_dim, None)
    network = CompactDecoder(run.model) if isinstance(run.model, CompactDecoderConfig) else Decoder(run.model)
    if site.beginning is not None:
        take_weights(site.beginning, network, run.model)
    elif run.fit_stats and isinstance(network, CompactDecoder):
        _fit_stats(site, network)
    stage = DecoderStage(run, network, clip)

    def prepare(pairs: DecodedPairs) -> None:
        if isinstance(network, CompactDecoder) and network.regressor is not None:
            parts, decoder = nn.ModuleDict({"sketch": network.regressor, "shares": network.preconditioning}), network
            _pretrained(site, run, parts, lambda: pretrain_decoder(decoder, _regression_data(pairs, run.side), run))

    required = RequiredColumns(side=run.side, embeddings=True, captions=stage.reads_text, variation=run.variation)
    encode, read = (tokenizer.encode, partial(read_texts, clip, tokenizer)) if stage.reads_text else (None, None)
    most = run.steps * run.batch_size
    reading = Reading(required=required, encode=encode, read=read, most_read=most, widen=_widen(site, run), prepare=prepare)
    return Assembly(stage, _data(site, run, reading), _saver(stage, run))


def _widen(site: TrainingSite, run: DecoderRun | UpsamplerRun) -> Callable[[DecodedPairs], DecodedPairs] | None:
    """What adds the run's views to the pairs; they are embedded where the training will be."""
    if run.views == 0:
        return None
    assert site.clip is not None, "a run with views is conditioned on CLIP"
    return partial(with_views, site.store, count=run.views, embedder=ClipEmbedder(site.store.folder(site.clip), training_device()))


def _fit_stats(site: TrainingSite, network: Prior | CompactDecoder) -> None:
    network.stats.fit(some_embeddings(site, "clip_image.npy"))
    if network.text_stats is not None:
        network.text_stats.fit(some_embeddings(site, "clip_text.npy"))


def _regression_data(pairs: DecodedPairs, side: int | None = None) -> RegressionData:
    assert pairs.clip_image is not None and pairs.clip_text is not None
    image, text = torch.from_numpy(np.array(pairs.clip_image)), torch.from_numpy(np.array(pairs.clip_text))
    return RegressionData(image, text, None if side is None else to_pixels(torch.from_numpy(np.array(pairs.at(side)))))


def _pretrained(site: TrainingSite, run: PriorRun | DecoderRun, parts: nn.ModuleDict, pretrain: Callable[[], None]) -> None:
    """Pretrains the first time; the parts are kept beside the weights, so that a resumed training need not train them again.

    `parts` are named as in the weights file. Those of the weights that a training begins with stay as they are.
    """
    if site.beginning is not None:
        parts.requires_grad_(False)
        return
    name = f"{site.folder}/first-{settings_digest([run.settings(), site.sources.training.digest])[:12]}.safetensors"
    if not site.store.exists(name):
        pretrain()
        with site.store.writing(name) as part:
            save_model(parts, str(part))
    load_model(parts, site.store.path(name))
    parts.requires_grad_(False)


def _upsampler(site: TrainingSite, run: UpsamplerRun) -> Assembly:
    network = CompactUpsampler(run.model) if isinstance(run.model, CompactUpsamplerConfig) else Upsampler(run.model)
    if isinstance(network, CompactUpsampler) and network.stats is not None:
        conditioning(site, network.config.embed_dim, None)
    if site.beginning is not None:
        take_weights(site.beginning, network, run.model)
    elif isinstance(network, CompactUpsampler) and network.stats is not None:
        network.stats.fit(some_embeddings(site))
    stage = UpsamplerStage(run, network)
    required = RequiredColumns(side=run.side, embeddings=run.needs_clip, captions=False, variation=run.variation)
    return Assembly(stage, _data(site, run, Reading(required=required, widen=_widen(site, run))), _saver(stage, run))


def _saver(stage: PriorStage | DecoderStage | UpsamplerStage, run: PriorRun | DecoderRun | UpsamplerRun) -> Callable[[Path], None]:
    """The pipeline reads the diffusion's settings from the weights file."""
    return lambda path: checkpoint.save(path, stage.network, run.model, {"diffusion": stage.final_diffusion().to_json()})


def conditioning(site: TrainingSite, embed_dim: int, context: int | None) -> tuple[Clip, Tokenizer]:
    """The frozen CLIP and its tokenizer; `UserError` when none is named, or when its embeddings or captions are of another size."""
    if site.clip is None:
        raise UserError("this stage is conditioned on CLIP; name its run folder with --clip, such as --clip models/clip/first")
    folder = site.store.folder(site.clip)
    clip, config = checkpoint.load(folder / "weights.safetensors")
    if not isinstance(clip, Clip) or not isinstance(config, ClipConfig):
        raise UserError(f"--clip {site.clip!r} holds a network that is no CLIP; name a folder under models/clip")
    if config.embed_dim != embed_dim or (context is not None and config.context != context):
        raise UserError(
            f"--clip {site.clip!r} has embed_dim {config.embed_dim} and context {config.context}, "
            f"but the recipe wants {embed_dim} and {context or config.context}; use recipes of one size"
        )
    return clip.eval().requires_grad_(False), Tokenizer.load(folder / "tokenizer.json")


@torch.no_grad()
def read_texts(clip: "Clip", tokenizer: Tokenizer, texts: Sequence[str]) -> Batch:
    """Captions as CLIP reads them: clip_text float32 [N, D], of unit norm, and text_features float32 [N, context, width]; on the CPU.

    They are read where the training will be.
    """
    home, device = clip.network.ln_final.weight.device, training_device()
    starts = range(0, len(texts), CAPTIONS_AT_ONCE)
    clip.to(device)
    parts = [clip.encode_text(tokenizer.encode(texts[start : start + CAPTIONS_AT_ONCE]).to(device)).to("cpu") for start in starts]
    clip.to(home)
    return {
        "clip_text": torch.cat([part.embedding_BD for part in parts]),
        "text_features": torch.cat([part.features_BSW for part in parts]),
    }


def some_embeddings(site: TrainingSite, extension: str = "clip_image.npy") -> Tensor:
    """float32 [N, D]: the embeddings of the first pairs, enough for their mean and spread."""
    samples = islice(raw_samples(site.store, site.sources.training), STATS_PAIRS)
    found = [read_vector(value) for sample in samples if isinstance(value := sample.get(extension), bytes)]
    if not found:
        raise UserError("the dataset holds no CLIP embeddings; embed and publish it again")
    return torch.from_numpy(np.stack([vector for vector in found if vector is not None]))


def _data(site: TrainingSite, run: AnyRun, reading: Reading) -> PairsData:
    return PairsData(site.store, site.sources, reading, BatchSlice(batch_size=run.batch_size, seed=run.seed))
