// What the parts of the emulator share: the fibers that stand for threads, memory and its shadow, warps, faults.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "place.h"

// ---- faults (emulator.cpp)
/** Notes a fault of the running kernel; the first twenty are kept. */
void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));
/** Ends the launch: what would come next has no meaning. */
void give_up();
/** Parks the running thread until another makes it ready. */
void park();

enum State { ready, at_barrier, at_warp, ended };
/** A copy that has been issued and not waited for. */
struct Copy {
  char* to;
  const char* from;
  int bytes;
  bool valid;
};
/** What a lane brings to a warp operation, and takes from it. */
struct Lane {
  uint32_t in[12], out[12];
  const void* address;
};
struct Context {
#if defined(__x86_64__)
  void* sp = nullptr;
#else
  void* u = nullptr;
#endif
};
struct Fiber {
  Context context;
  State state = ready;
  /** Line of the barrier or warp operation that it waits at, what kind that is, and for which lanes. */
  int line = 0, kind = 0;
  unsigned mask = 0;
  Lane lane;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};
extern std::vector<Fiber> fibers;
/** The running thread; -1 between threads. */
extern int current;
/** Block-wide barriers passed, and warp-wide ones of each warp. */
extern int epoch;
extern std::vector<int> warp_epochs;
/** 0: f64, rounded once; 1: f32 in order; 2: Hopper; 3: Ampere (matrix.cpp). */
extern int matrix_model;

// ---- memory (memory.cpp)
struct Cell {
  uint32_t launch = 0;
  int32_t write_block = -1, write_thread = -1, write_epoch = -1, write_warp_epoch = -1;
  /** -2: several threads; of one warp where read_warp is not -2. */
  int32_t read_block = -1, read_thread = -1, read_warp = -1, read_epoch = -1, read_warp_epoch = -1;
  uint8_t initialised = 0, atomic = 0, in_flight = 0;
};
/** `changes`: atomically; `relaxed`: a read that atomic changes may come between. */
enum Access { reads, writes, changes, relaxed };
/** Watches an access by the running thread. */
void access(const void* at, size_t bytes, Access how);
void mark_in_flight(const char* at, int bytes, bool on);
bool in_shared(const void* at, size_t bytes);
/** A fresh launch, with so much shared memory; `spread`: every array of it between red zones of its own. */
void memory_launch(size_t shared_bytes, bool spread);
void memory_block();
/** The stacks of the fibers: a thread's own, not watched. */
void own_memory(char* from, size_t bytes);

// ---- warps (warp.cpp)
/** A fresh block, with so many warps. */
void warps_of_block(int warps);
/** Copies that nobody has waited for are a fault of the thread that ends. */
void end_of_thread();
