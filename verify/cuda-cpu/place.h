// Where the running thread stands: what kernels and the emulator both name.
#pragma once

struct WeftIndex {
  int x, y, z;
};
extern "C" {
extern struct WeftPlace {
  WeftIndex thread, block, threads, blocks;
} weft_place;
}
