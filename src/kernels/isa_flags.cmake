# Each ISA folder is compiled with its own instruction set; dispatch.cc picks one at run time. The
# folders of the other processor are left out.
file(GLOB avx2_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/avx2/*.cc)
file(GLOB avx512_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/avx512/*.cc)
file(GLOB neon_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/neon/*.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${neon_sources} TARGET_DIRECTORY tack_kernels PROPERTIES
                              HEADER_FILE_ONLY ON)
  set_source_files_properties(${avx2_sources} TARGET_DIRECTORY tack_kernels PROPERTIES
                              COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  # GCC 12's own AVX-512 headers trip these two warnings (GCC bug 105593).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(quiet "-Wno-uninitialized;-Wno-maybe-uninitialized;")
  endif()
  set_source_files_properties(${avx512_sources} TARGET_DIRECTORY tack_kernels PROPERTIES COMPILE_OPTIONS
    "${quiet}-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni;-mprefer-vector-width=512")
  set_property(SOURCE ${CMAKE_SOURCE_DIR}/src/kernels/avx512/product_bf16.cc
               TARGET_DIRECTORY tack_kernels APPEND PROPERTY COMPILE_OPTIONS "-mavx512bf16")
else()
  set_source_files_properties(${avx2_sources} ${avx512_sources} TARGET_DIRECTORY tack_kernels
                              PROPERTIES HEADER_FILE_ONLY ON)
endif()
