import { expect, test } from "vitest";
import { Durations } from "../../runtime/webgpu/durations.ts";

test("a run is expected to take what the last took, but for the first, which translates its text", () => {
  const d = new Durations();
  expect(d.expected("a")).toBe(0);
  d.record("a", 5000);
  expect(d.expected("a")).toBe(0);
  d.record("a", 20);
  expect(d.expected("a")).toBe(20);
  d.record("a", 8);
  expect(d.expected("a")).toBe(8);
  expect(d.expected("b")).toBe(0);
});
