"""Networks in ONNX files, run one picture at a time on one thread: exactly by onnxruntime, or in half the time by OpenVINO.

OpenVINO is optional. It multiplies in bfloat16 where the processor does so itself, which moves a probability in the third decimal; so
its answers count where they are far below what a policy looks at, and onnxruntime gives the others.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

PACKAGE = "openvino"
SURE = 0.08  # below it OpenVINO's probability stands
Picture = NDArray[np.float32]
Classify = Callable[[Picture], NDArray[np.float32]]


class Session(Protocol):
    """What is called of an onnxruntime session whose outputs are arrays."""

    def run(self, output_names: None, input_feed: Mapping[str, Picture], /) -> Sequence[NDArray[np.float32]]:
        """All outputs."""
        ...


class Request(Protocol):
    """What is called of an OpenVINO request."""

    def infer(self, inputs: Sequence[Picture], /) -> Mapping[int, NDArray[np.float32]]:
        """The outputs by number; they are overwritten by the next call."""
        ...


def classifier(path: Path, name: str, shape: Sequence[int], watched: Sequence[int]) -> Classify:
    """A function from one picture, float32 of `shape`, to the network's probabilities of it, float32 [classes].

    `name` is the network's input. The probabilities of the classes `watched` are onnxruntime's wherever one of them reaches `SURE`.
    """
    fast, exact = _by_openvino(path, shape), cache(lambda: exact_classifier(path, name))

    def classify(pixels: Picture) -> NDArray[np.float32]:
        if fast is not None:
            found = fast(pixels)
            if found[list(watched)].max() < SURE:  # what is no number is not below it
                return found
        return exact()(pixels)

    return classify


def exact_classifier(path: Path, name: str) -> Classify:
    """The network by onnxruntime. One thread and pictures one by one: on the CPUs measured, larger batches leave the cache."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = cast(Session, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
    return lambda pixels: session.run(None, {name: pixels})[0][0]


def _by_openvino(path: Path, shape: Sequence[int]) -> Classify | None:
    """The network by OpenVINO; None where it is not installed."""
    if find_spec(PACKAGE) is None:
        return None
    core = import_module(PACKAGE).Core()
    model = core.read_model(str(path))
    model.reshape(list(shape))
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    request = cast(Request, core.compile_model(model, "CPU", settings).create_infer_request())
    return lambda pixels: np.array(request.infer([pixels])[0][0], dtype=np.float32)
