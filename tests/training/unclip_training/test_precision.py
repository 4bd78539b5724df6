"""Tests of what a training does otherwise on a GPU, as far as a processor can tell."""

import pytest
import torch
from torch import nn

from unclip_training import precision
from unclip_training.optim import Ema


class Around(nn.Module):
    """A network with a U-Net inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.unet = nn.Linear(2, 3), nn.Linear(3, 3)


def test_only_the_inner_network_is_compiled_and_weights_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def note(self: nn.Module) -> None:  # in place of the compiler, which takes minutes
        compiled.append(self)

    monkeypatch.setattr(nn.Module, "compile", note)
    network = Around()
    names = list(network.state_dict())
    assert precision.compile_inner(network) == 1 and compiled == [network.unet]
    assert list(network.state_dict()) == names


def test_a_processor_holds_two_gibibytes_and_compiles_nothing() -> None:
    with precision.uncompiled():
        assert precision.training_device().type == "cpu"
    assert precision.in_memory_bytes() == 2 * 2**30


def test_an_average_from_a_checkpoint_follows_the_network_to_its_device() -> None:
    weight = nn.Parameter(torch.zeros(3))
    average = Ema([weight], decay=0.9)
    average.restore({"updates": 4, "values": [torch.ones(3)]})
    average.update([nn.Parameter(torch.zeros(3, device="meta"))])  # stands for a GPU
    assert average.values[0].device.type == "meta" and average.updates == 5
