"""Throughput of the paper's networks: pictures a second, peak memory and model-FLOP utilisation at the largest batch that fits."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from findings import CheckFailed, Findings
from miniatures import reduced
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unclip_models.build import build, num_parameters
from unclip_models.clip import Clip
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    DecoderConfig,
    NetworkConfig,
    PriorConfig,
    UpsamplerConfig,
)
from unclip_models.paper import PAPER_CLIP, PAPER_DECODER, PAPER_PRIOR, PAPER_UPSAMPLER_256, PAPER_UPSAMPLER_1024, on_meta
from unclip_models.text import Text
from unclip_training.precision import training_device

PEAKS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12, "L4": 121e12}
"""Dense bf16 FLOP/s by a part of the card's name, from the makers' data sheets (SXM where there are several)."""
MEASURED_STEPS = 3
BACKWARD_AND_FORWARD = 3  # a backward pass costs two forward ones
Place = torch.device | str


@dataclass(frozen=True)
class Subject:
    """A network to be measured, the side of the crops it trains on, and the batch that is tried first."""

    name: str
    config: NetworkConfig
    crop: int
    first_batch: int


PAPER = (
    Subject("decoder", PAPER_DECODER, 64, 256),
    Subject("prior", PAPER_PRIOR, 0, 512),
    Subject("upsampler_256", PAPER_UPSAMPLER_256, 64, 256),
    Subject("upsampler_1024", PAPER_UPSAMPLER_1024, 256, 64),
    Subject("clip", PAPER_CLIP, 256, 512),
)


def peak_flops() -> float | None:
    """The card's bf16 peak in FLOP/s, None where it is not known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for known, peak in PEAKS.items() if known in name), None)


def _text(config: PriorConfig | DecoderConfig, batch: int, place: Place) -> Text:
    width = config.text_width if isinstance(config, PriorConfig) else 1
    features = torch.randn(batch, config.context, width, device=place)
    embedding = nn.functional.normalize(torch.randn(batch, config.embed_dim, device=place), dim=-1)
    return Text(_tokens(config.context, batch, place), embedding, features)


def _tokens(context: int, batch: int, place: Place) -> Tensor:
    tokens = torch.ones(batch, context, dtype=torch.long, device=place)
    tokens[:, -1] = 2  # the end has the highest id
    return tokens


def forward(network: nn.Module, subject: Subject, batch: int, place: Place) -> Callable[[], Tensor]:
    """A call of the network on random inputs; it gives what the network gives."""
    config, crop = subject.config, subject.crop
    t_B, pixels = torch.rand(batch, device=place), torch.randn(batch, 3, crop, crop, device=place)
    match config:
        case ClipConfig():
            assert isinstance(network, Clip)
            if config.locked:  # its pictures are read once, before the training
                tokens = _tokens(config.context, batch, place)
                return lambda: network.encode_text(tokens).embedding_BD
            pixels = torch.randn(batch, 3, config.image_size, config.image_size, device=place)
            tokens = _tokens(config.context, batch, place)
            return lambda: network.encode_image(pixels) * network.encode_text(tokens).embedding_BD
        case PriorConfig():
            text, z_BD = _text(config, batch, place), torch.randn(batch, config.embed_dim, device=place)
            return lambda: network(z_BD, t_B, text)
        case DecoderConfig():
            text, z_BD = _text(config, batch, place), torch.randn(batch, config.embed_dim, device=place)
            return lambda: network(pixels, t_B, z_BD, text)
        case CompactDecoderConfig():
            z_BD = torch.randn(batch, config.embed_dim, device=place)
            pixels = torch.randn(batch, 3, config.image_size, config.image_size, device=place)
            return lambda: network(pixels, t_B, z_BD)
        case CompactUpsamplerConfig():
            z_BD = torch.randn(batch, config.embed_dim, device=place)
            low_side = crop * config.low_size // config.image_size
            low = torch.randn(batch, 3, low_side, low_side, device=place)
            return lambda: network(pixels, t_B, low, z_BD)
        case UpsamplerConfig():
            low_side = crop * config.low_size // config.image_size
            low = torch.randn(batch, 3, low_side, low_side, device=place)
            return lambda: network(pixels, t_B, low)


def flops(subject: Subject) -> float:
    """Floating-point operations of one forward pass for one sample, counted on the meta device."""
    network = on_meta(subject.config)
    with FlopCounterMode(display=False) as counter:
        forward(network, subject, 2, "meta")()
    return counter.get_total_flops() / 2


def _step(call: Callable[[], Tensor], device: torch.device, network: nn.Module) -> None:
    with torch.autocast(device.type, torch.bfloat16):
        loss = call().float().square().mean()
    loss.backward()
    network.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()


def _seconds_a_step(network: nn.Module, subject: Subject, batch: int, device: torch.device) -> float:
    call = forward(network, subject, batch, device)
    _step(call, device, network)
    began = time.perf_counter()
    for _ in range(MEASURED_STEPS):
        _step(call, device, network)
    return (time.perf_counter() - began) / MEASURED_STEPS


def measure(findings: Findings, subject: Subject, seconds: float) -> None:
    """Halves the batch until a step fits; puts the figures. `CheckFailed` when no batch fits, or none within `seconds`."""
    device, began, batch = training_device(), time.monotonic(), subject.first_batch
    part, cost = f"paper_{subject.name}", BACKWARD_AND_FORWARD * flops(subject)
    with torch.device(device):
        network = build(subject.config).to(torch.bfloat16).to(memory_format=torch.channels_last).train()
    findings.put(part, parameters=num_parameters(network), gflop_a_sample=cost / 1e9)
    while batch >= 1 and time.monotonic() - began < seconds:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            duration = _seconds_a_step(network, subject, batch, device)
        except torch.OutOfMemoryError:
            network.zero_grad(set_to_none=True)
            batch //= 2
            continue
        peak, memory = peak_flops(), torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
        utilisation = None if peak is None else cost * batch / duration / peak
        findings.put(part, batch=batch, samples_a_second=batch / duration, peak_gib=memory, model_flop_utilisation=utilisation)
        return
    raise CheckFailed(f"no batch was measured within {seconds:.0f} s; the last tried was {max(batch, 1)}")


def measure_all(findings: Findings, seconds: float, dry: bool) -> None:
    """Each network of the paper as a part, within about `seconds` together; in a dry run, networks of the same kinds."""
    for subject in PAPER:
        chosen = Subject(subject.name, reduced(subject.config), 32 if subject.crop else 0, 2) if dry else subject
        with findings.part(f"paper_{subject.name}"):
            measure(findings, chosen, seconds / len(PAPER))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
