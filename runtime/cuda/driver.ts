/** The few functions of libcuda and libnvrtc that a launch needs (CUDA Driver API; NVRTC), with their errors as WeftError. */
import { WeftError } from "../errors.ts";

type Fn = (...args: unknown[]) => number;
export interface Cuda {
  /** Calls a driver function and throws if it does not return CUDA_SUCCESS. */
  readonly call: (name: DriverFunction, ...args: unknown[]) => void;
  /** Calls one while cleaning up: what went wrong before says more than its result. */
  readonly release: (name: DriverFunction, ...args: unknown[]) => void;
  /** Whether the work before an event is done: 0, `notReady`, or an error. */
  readonly query: (event: unknown) => number;
  /** Compiles CUDA C++ to a cubin for the architecture. */
  readonly compile: (source: string, arch: string, kernel: string) => Uint8Array;
}
const driver = {
  cuInit: "int cuInit(unsigned int)",
  cuDeviceGetCount: "int cuDeviceGetCount(_Out_ int *)",
  cuDeviceGet: "int cuDeviceGet(_Out_ int *, int)",
  cuDeviceGetName: "int cuDeviceGetName(_Out_ uint8_t *, int, int)",
  cuDeviceGetAttribute: "int cuDeviceGetAttribute(_Out_ int *, int, int)",
  cuDevicePrimaryCtxRetain: "int cuDevicePrimaryCtxRetain(_Out_ void **, int)",
  cuDevicePrimaryCtxRelease: "int cuDevicePrimaryCtxRelease_v2(int)",
  cuCtxSetCurrent: "int cuCtxSetCurrent(void *)",
  cuModuleLoadData: "int cuModuleLoadData(_Out_ void **, const uint8_t *)",
  cuModuleUnload: "int cuModuleUnload(void *)",
  cuModuleGetFunction: "int cuModuleGetFunction(_Out_ void **, void *, const char *)",
  cuMemAlloc: "int cuMemAlloc_v2(_Out_ uint64_t *, size_t)",
  cuMemFree: "int cuMemFree_v2(uint64_t)",
  cuMemcpyHtoD: "int cuMemcpyHtoD_v2(uint64_t, const uint8_t *, size_t)",
  cuMemcpyDtoH: "int cuMemcpyDtoH_v2(_Out_ uint8_t *, uint64_t, size_t)",
  cuFuncSetAttribute: "int cuFuncSetAttribute(void *, int, int)",
  cuLaunchKernel:
    "int cuLaunchKernel(void *, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, void *, void **, void **)",
  cuEventCreate: "int cuEventCreate(_Out_ void **, unsigned int)",
  cuEventRecord: "int cuEventRecord(void *, void *)",
  cuEventQuery: "int cuEventQuery(void *)",
  cuEventElapsedTime: "int cuEventElapsedTime(_Out_ float *, void *, void *)",
  cuEventDestroy: "int cuEventDestroy_v2(void *)",
} as const;
export type DriverFunction = keyof typeof driver;
/** CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: a launch with more than 48 KiB asks for it. */
export const mostDynamicShared = 8;
/** CUDA_ERROR_NOT_READY: work is still under way. */
export const notReady = 600;

/** @throws WeftError R201 naming the library that is missing */
export async function loadCuda(): Promise<Cuda> {
  let koffi: typeof import("koffi");
  try {
    koffi = (await import("koffi")).default as unknown as typeof import("koffi");
  } catch {
    throw new WeftError("R201", "CUDA needs the package `koffi`: npm install koffi");
  }
  const open = (names: readonly string[], what: string): ReturnType<typeof koffi.load> => {
    for (const n of names) {
      try {
        return koffi.load(n);
      } catch {
        // the next name
      }
    }
    throw new WeftError("R201", `no CUDA: ${what} was not found (tried ${names.join(", ")})`);
  };
  const libcuda = open(["libcuda.so.1", "nvcuda.dll"], "the NVIDIA driver library libcuda");
  const functions = Object.fromEntries(
    Object.entries(driver).map(([name, proto]) => [name, libcuda.func(proto) as unknown as Fn]),
  ) as Record<DriverFunction, Fn>;
  const nvrtc = open(
    ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"],
    "the run-time compiler libnvrtc",
  );
  const rtc = {
    create: nvrtc.func("int nvrtcCreateProgram(_Out_ void **, const char *, const char *, int, void *, void *)") as unknown as Fn,
    compile: nvrtc.func("int nvrtcCompileProgram(void *, int, const char **)") as unknown as Fn,
    logSize: nvrtc.func("int nvrtcGetProgramLogSize(void *, _Out_ size_t *)") as unknown as Fn,
    log: nvrtc.func("int nvrtcGetProgramLog(void *, _Out_ uint8_t *)") as unknown as Fn,
    size: nvrtc.func("int nvrtcGetCUBINSize(void *, _Out_ size_t *)") as unknown as Fn,
    cubin: nvrtc.func("int nvrtcGetCUBIN(void *, _Out_ uint8_t *)") as unknown as Fn,
    destroy: nvrtc.func("int nvrtcDestroyProgram(_Inout_ void **)") as unknown as Fn,
  };
  return {
    call(name, ...args) {
      const code = functions[name](...args);
      if (code !== 0)
        throw new WeftError(
          name === "cuInit" ? "R201" : "R202",
          `${name} failed with CUDA error ${code}${code === 100 ? " (no device)" : ""}`,
        );
    },
    release(name, ...args) {
      functions[name](...args);
    },
    query: (event) => functions.cuEventQuery(event),
    compile(source, arch, kernel) {
      const program: unknown[] = [null];
      rtc.create(program, source, `${kernel}.cu`, 0, null, null);
      const options = [`--gpu-architecture=${arch}`, "--fmad=false", "--std=c++17"];
      const code = rtc.compile(program[0], options.length, options);
      if (code !== 0) {
        const size: number[] = [0];
        rtc.logSize(program[0], size);
        const log = new Uint8Array(Number(size[0]));
        rtc.log(program[0], log);
        throw new WeftError(
          "R204",
          `${kernel}: ${
            new TextDecoder()
              .decode(log)
              .split("\n")
              .find((l) => l.includes("error")) ?? `NVRTC error ${code}`
          }`,
        );
      }
      const size: number[] = [0];
      rtc.size(program[0], size);
      const cubin = new Uint8Array(Number(size[0]));
      rtc.cubin(program[0], cubin);
      rtc.destroy(program);
      return cubin;
    },
  };
}
