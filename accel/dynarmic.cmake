# How the crate `dynarmic` builds its C++ (a toolchain file, which .cargo/config.toml names: what the crate's build
# script does not say can be said here).

# Its tests and their framework, and the translator for 32-bit guests, are most of its source and of no use here.
set(DYNARMIC_TESTS OFF CACHE BOOL "")
set(DYNARMIC_FRONTENDS A64 CACHE STRING "")

# As the workspace's release profile: line tables only. Full debug information takes 1.8 GB.
foreach(language C CXX)
  set(CMAKE_${language}_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG" CACHE STRING "")
endforeach()
