import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const here = import.meta.url.includes("/dist/") ? "../../package.json" : "../package.json";
/** Version of this package. */
export const version: string = (require(here) as { version: string }).version;
