/** The kernel library: where the sources lie, and the planners that run on the host. */
import { fileURLToPath } from "node:url";

export { offsetsOf, type Placement, planRows, type Row } from "./prepack/plan.ts";

/** Sources of the library by family. From `dist`, they lie beside it. */
const here = import.meta.url.includes("/dist/") ? new URL("../../kernels/", import.meta.url) : new URL("./", import.meta.url);
export const library: Readonly<Record<"attention" | "gemm" | "prepack" | "adamw", string>> = {
  attention: fileURLToPath(new URL("attention/attention.weft", here)),
  gemm: fileURLToPath(new URL("gemm/gemm.weft", here)),
  prepack: fileURLToPath(new URL("prepack/prepack.weft", here)),
  adamw: fileURLToPath(new URL("adamw/adamw.weft", here)),
};
