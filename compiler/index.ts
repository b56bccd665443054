/** A checked program -> CUDA C++ and WGSL, and typed bindings. Touches no device. */
export { type Compiled, type CompileOptions, compile, type Observer, type Stage, stages, targets } from "./compile.ts";
export { heapOptions, IncrementalCompiler } from "./incremental.ts";
export { packKernels } from "./pack.ts";
export { Refusal } from "./refusal.ts";
export { type Choice, chosen, combinations, openSizes } from "./schedule/choices.ts";
export { paramsOf } from "./signature.ts";
export { type Variant, variantsOf } from "./variants.ts";
