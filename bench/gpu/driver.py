"""Compiled kernels on torch's current stream: NVRTC and the driver API, with the flags that Weft's own runtime gives them."""

import base64
import ctypes
import struct

import torch

libraries = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"]


def load(names):
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            pass
    raise OSError(f"none of {', '.join(names)} was found")


cuda = load(["libcuda.so.1"])
nvrtc = load(libraries)
most_dynamic_shared = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
formats = {"i32": "<i", "u32": "<I", "f32": "<f", "f64": "<d"}


def checked(code, what):
    if code != 0:
        raise RuntimeError(f"{what}: CUDA error {code}")


def compile_source(source):
    """CUDA C++ -> a cubin for the device at hand."""
    major, minor = torch.cuda.get_device_capability()
    program = ctypes.c_void_p()
    checked(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None), "nvrtcCreateProgram")
    options = [f"--gpu-architecture=sm_{major}{minor}".encode(), b"--fmad=false", b"--std=c++17"]
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    if code != 0:
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(log.value.decode())
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw


class Kernel:
    """The launches of one contender; `call(tensors)` puts them on the current stream."""

    def __init__(self, contender, cubin):
        self.module = ctypes.c_void_p()
        checked(cuda.cuModuleLoadData(ctypes.byref(self.module), cubin), "cuModuleLoadData")
        self.launches = contender["launches"]
        self.temps = {t["name"]: torch.empty(max(16, t["bytes"]), dtype=torch.uint8, device="cuda") for t in contender["temps"]}
        self.functions = []
        self.tables = {}
        for launch in self.launches:
            f = ctypes.c_void_p()
            checked(cuda.cuModuleGetFunction(ctypes.byref(f), self.module, launch["entry"].encode()), launch["entry"])
            if launch["sharedBytes"] > 48 << 10:
                checked(cuda.cuFuncSetAttribute(f, most_dynamic_shared, launch["sharedBytes"]), "shared memory")
            self.functions.append(f)

    def table(self, launch, tensors):
        """Where a launch for many calls finds them: pointers at the head of each row, made once for a set of tensors."""
        key = (launch["entry"], id(tensors))
        if key not in self.tables:
            t = launch["table"]
            data = bytearray(base64.b64decode(t["bytes"]))
            stride = len(data) // len(t["rows"])
            for k, row in enumerate(t["rows"]):
                struct.pack_into(f"<{len(row)}Q", data, k * stride, *(tensors[b].data_ptr() for b in row))
            calls = torch.frombuffer(data, dtype=torch.uint8).cuda()
            firsts = torch.tensor(t["firsts"], dtype=torch.int32, device="cuda")
            self.tables[key] = (calls, firsts)
        calls, firsts = self.tables[key]
        return [struct.pack("<Q", calls.data_ptr()), struct.pack("<Q", firsts.data_ptr()), struct.pack("<i", len(firsts))]

    def call(self, tensors):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        for launch, f in zip(self.launches, self.functions):
            pointers = [(tensors[b] if b in tensors else self.temps[b]).data_ptr() for b in launch["buffers"]]
            values = [struct.pack("<Q", p) for p in pointers]
            values += [
                struct.pack(formats[u["type"]], u["value"] if u["type"][0] == "f" else int(u["value"])) for u in launch["uniforms"]
            ]
            if "table" in launch:
                values = self.table(launch, tensors)
            boxes = [ctypes.create_string_buffer(v, len(v)) for v in values]
            args = (ctypes.c_void_p * len(boxes))(*[ctypes.addressof(b) for b in boxes])
            checked(
                cuda.cuLaunchKernel(f, launch["blocks"], 1, 1, launch["threads"], 1, 1, launch["sharedBytes"], stream, args, None),
                launch["entry"],
            )

    def close(self):
        cuda.cuModuleUnload(self.module)
        self.temps = {}
