"""Where models run, on machines that nobody here has."""

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

from plait.models import Device, GGUFInfo, Machine, choose_placement, estimate_memory, this_machine
from plait.models._cores import Cores
from plait.models._ggml_types import tensor_type
from plait.models._gguf import Tensor
from plait.models._hardware import _devices

GB = 10**9


def model(n_layers: int, layer_bytes: int, *, head_length: int = 128) -> GGUFInfo:
    """A model of 4 KV heads with so many layers, and 500 MB of embedding and as much of output."""
    byte = tensor_type(24)
    sizes = {f"blk.{i}.w": layer_bytes for i in range(n_layers)}
    sizes |= {"token_embd.weight": GB // 2, "output.weight": GB // 2}
    return GGUFInfo(
        path=Path("m.gguf"),
        version=3,
        file_bytes=sum(sizes.values()),
        architecture="qwen2",
        name=None,
        quantization="Q4_K_M",
        context_length=32768,
        n_layers=n_layers,
        n_heads=28,
        kv_heads=(4,) * n_layers,
        key_length=head_length,
        value_length=head_length,
        embedding_length=3584,
        feed_forward_length=18944,
        n_vocab=152064,
        tokenizer="gpt2",
        chat_template=None,
        template_knows_tools=False,
        sliding_window=None,
        n_experts=None,
        n_experts_used=None,
        licence=None,
        author=None,
        url=None,
        metadata={},
        tensors=tuple(Tensor(name, (size,), byte, 0) for name, size in sizes.items()),
    )


SEVEN_B = model(28, 130_000_000)  # 4.6 GB
CPU = Device("CPU", "A processor", "cpu", 16 * GB, 16 * GB)


def gpu(name: str, free: float, kind: Any = "gpu") -> Device:
    return Device(name, "A GPU", kind, int(free * GB), int(free * GB))


EIGHT_CORES = Cores(8, 8)


def machine(
    *gpus: Device, cores: Cores = EIGHT_CORES, free: float | None = 16, offload: bool = True
) -> Machine:
    available = None if free is None else int(free * GB)
    return Machine(offload, (*gpus, CPU), cores, available, "A processor", "0.3.36")


def test_without_a_gpu_it_runs_on_the_fast_cores() -> None:
    placement = choose_placement(SEVEN_B, machine(cores=Cores(6, 14)), context_length=8192)
    assert (placement.n_gpu_layers, placement.device, placement.main_gpu) == (0, "CPU", None)
    assert (placement.n_threads, placement.n_threads_batch) == (6, 14)
    assert (placement.kv_type, placement.flash_attention) == ("f16", None)
    assert placement.estimate.device_bytes == 0


def test_a_build_without_offloading_uses_no_gpu() -> None:
    assert (
        choose_placement(SEVEN_B, machine(gpu("CUDA0", 24), offload=False), context_length=8192).device
        == "CPU"
    )


def test_a_big_gpu_takes_all_layers_and_few_threads_are_left() -> None:
    placement = choose_placement(SEVEN_B, machine(gpu("CUDA0", 12)), context_length=8192)
    assert (placement.n_gpu_layers, placement.device, placement.main_gpu) == (29, "CUDA0", 0)
    assert placement.n_threads == placement.n_threads_batch == 4


def test_a_gpu_of_4_gb_takes_as_many_layers_of_a_7b_model_as_fit() -> None:
    here = machine(gpu("CUDA0", 4))
    placement = choose_placement(SEVEN_B, here, context_length=8192, kv_type="f16")
    assert 5 < placement.n_gpu_layers < 29
    assert placement.estimate.device_bytes <= 4 * GB - (512 << 20)
    more = estimate_memory(SEVEN_B, context_length=8192, n_gpu_layers=placement.n_gpu_layers + 1)
    assert more.device_bytes > 4 * GB - (512 << 20)


def test_eight_bits_are_taken_where_all_layers_fit_only_so() -> None:
    whole = estimate_memory(SEVEN_B, context_length=8192, n_gpu_layers=29).device_bytes
    tight = machine(gpu("CUDA0", (whole + (512 << 20) - 100_000_000) / GB))
    placement = choose_placement(SEVEN_B, tight, context_length=8192)
    assert (placement.n_gpu_layers, placement.kv_type, placement.flash_attention) == (29, "q8_0", True)
    asked = choose_placement(SEVEN_B, tight, context_length=8192, kv_type="f16")
    assert (asked.n_gpu_layers < 29, asked.kv_type) == (True, "f16")


def test_eight_bits_are_not_taken_for_heads_that_blocks_do_not_divide() -> None:
    odd = model(28, 130_000_000, head_length=80)
    assert choose_placement(odd, machine(free=1), context_length=8192).kv_type == "f16"
    assert choose_placement(SEVEN_B, machine(free=1), context_length=8192).kv_type == "q8_0"


def test_a_gpu_that_is_full_is_left_alone() -> None:
    assert choose_placement(SEVEN_B, machine(gpu("CUDA0", 0.3)), context_length=8192).device == "CPU"


def test_of_several_gpus_the_one_with_room_for_all_is_used_alone() -> None:
    here = machine(gpu("CUDA0", 4), gpu("CUDA1", 12))
    placement = choose_placement(SEVEN_B, here, context_length=8192)
    assert (placement.n_gpu_layers, placement.device, placement.main_gpu) == (29, "CUDA1", 1)


def test_several_gpus_share_what_one_cannot_hold() -> None:
    here = machine(gpu("CUDA0", 4), gpu("CUDA1", 4))
    placement = choose_placement(SEVEN_B, here, context_length=8192)
    assert (placement.n_gpu_layers, placement.device, placement.main_gpu) == (29, "CUDA0+CUDA1", None)


def test_a_gpu_that_two_backends_show_counts_once() -> None:
    here = machine(gpu("CUDA0", 4), gpu("Vulkan0", 4))
    assert here.gpus == (here.devices[0],)
    assert choose_placement(SEVEN_B, here, context_length=8192).n_gpu_layers < 29


def test_memory_that_is_shared_with_the_system_must_be_free_there_too() -> None:
    metal = replace(gpu("Metal", 11), total_bytes=11 * GB)
    assert choose_placement(SEVEN_B, machine(metal, free=10), context_length=8192).n_gpu_layers == 29
    assert choose_placement(SEVEN_B, machine(metal, free=3), context_length=8192).n_gpu_layers < 29


def test_a_gpu_inside_the_processor_serves_only_where_there_is_no_other() -> None:
    inside, card = gpu("Vulkan1", 15, "igpu"), gpu("Vulkan0", 12)
    assert choose_placement(SEVEN_B, machine(inside), context_length=8192).device == "Vulkan1"
    assert choose_placement(SEVEN_B, machine(inside, card), context_length=8192).device == "Vulkan0"


def test_a_container_with_one_and_a_half_processors_gets_one_thread() -> None:
    placement = choose_placement(SEVEN_B, machine(cores=Cores(1, 1), free=None), context_length=8192)
    assert (placement.n_threads, placement.n_threads_batch, placement.kv_type) == (1, 1, "f16")


def test_an_unknown_architecture_is_placed_by_its_weights() -> None:
    unknown = replace(SEVEN_B, n_layers=None, kv_heads=(), n_vocab=None, embedding_length=None)
    assert choose_placement(unknown, machine(), context_length=8192).device == "CPU"


def test_this_machine_is_described() -> None:
    here = this_machine()
    assert here.cores.n_all >= 1
    assert any(device.kind == "cpu" for device in here.devices)
    assert here.engine_version in here.key
    assert all(device.backend == device.name.rstrip("0123456789") for device in here.devices)


class Function:
    """A function of a C library."""

    restype: Any = None
    argtypes: Any = None

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __call__(self, *arguments: Any) -> Any:
        return self._answer(*arguments)


def test_devices_are_read_from_ggml() -> None:
    kinds = [1, 4, 2]  # a GPU, something of a kind that is not known, a GPU inside the processor

    def memory(device: int, free: Any, total: Any) -> None:
        free._obj.value, total._obj.value = device * 10, device * 20

    functions = {
        "count": Function(lambda: 3),
        "get": Function(lambda i: i + 1),
        "name": Function(lambda device: f"CUDA{device}".encode()),
        "description": Function(lambda device: None),
        "type": Function(lambda device: kinds[device - 1]),
        "memory": Function(memory),
    }
    found = list(_devices(lambda name: functions[name.removeprefix("ggml_backend_dev_")]))
    assert found == [Device("CUDA1", "", "gpu", 10, 20), Device("CUDA3", "", "igpu", 30, 60)]
    assert functions["get"].restype is ctypes.c_void_p


def test_a_build_whose_functions_are_not_found_has_no_devices() -> None:
    assert list(_devices(lambda name: None)) == []
