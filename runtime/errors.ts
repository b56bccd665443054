/** What a caller of a kernel can do wrong, or a device can do to them. Codes are stable; docs/language.md lists them. */
export const runtimeCodes = {
  R101: "a missing or unknown argument or dimension",
  R102: "an argument of the wrong element type",
  R103: "a shape that does not fit the signature, or dimensions that do not agree",
  R104: "a precondition that does not hold",
  R105: "a dimension that no argument determines",
  R106: "data outside the range that its type promises",
  R107: "a scalar of the wrong kind",
  R201: "no device",
  R202: "a device that was lost",
  R203: "a launch that took too long",
  R204: "a kernel that the device refused",
  R205: "a tensor larger than the device binds",
  R206: "no variant of the kernel for this device or these types",
} as const;
export type RuntimeCode = keyof typeof runtimeCodes;

export class WeftError extends Error {
  override readonly name = "WeftError";
  readonly code: RuntimeCode;

  constructor(code: RuntimeCode, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}
