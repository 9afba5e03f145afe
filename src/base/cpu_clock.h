// Processor time of one thread.
#pragma once

#include <ctime>

namespace tack {

// Seconds that the calling thread has run; waiting does not count.
inline double thread_cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace tack
