/** Holds kernels against the reference interpreter, within derived bounds. */
export { type Agreement, type AgreeOptions, agree, type Disagreement, describe } from "./agree.ts";
export { numbersOf, readElement, tensorOf, writeElement } from "./convert.ts";
export { CpuCudaDevice } from "./cuda-cpu/device.ts";
export { type AgreeExpectation, expectKernel, KernelDisagrees } from "./expect.ts";
export { type FuzzFailure, type FuzzOptions, type FuzzReport, fuzz } from "./fuzz.ts";
export { type GenerateOptions, generate, seeded } from "./generate.ts";
export { type BrokenLaw, brokenLaws } from "./laws.ts";
export { runThreads, runTiles } from "./levels.ts";
export { interpreterFor, programOf, ReferenceDevice } from "./reference-device.ts";
export { type FuzzTarget, type OpenTarget, openTarget } from "./targets.ts";
