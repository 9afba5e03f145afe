# Each ISA folder is compiled with its own instruction set; dispatch.cc picks one at run time.
file(GLOB avx2_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/avx2/*.cc)
file(GLOB avx512_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/avx512/*.cc)
file(GLOB neon_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/neon/*.cc)
set_source_files_properties(${avx2_sources} TARGET_DIRECTORY tack_kernels PROPERTIES
                            COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
set_source_files_properties(${avx512_sources} TARGET_DIRECTORY tack_kernels PROPERTIES COMPILE_OPTIONS
  "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni;-mavx512bf16;-mprefer-vector-width=512")
