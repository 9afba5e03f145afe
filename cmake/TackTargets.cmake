# One static library per folder of src/, with its unit tests beside the code.
#
#   tack_library(formats DEPS base tensor LINKS simdjson::simdjson)
#
# makes the target tack_formats from src/formats/**.cc and, with TACK_TESTS, the test program
# tack_formats_test from src/formats/**_test.cc. DEPS are folders above this one in src/README.md;
# tools/check_layers.py holds the includes to the same order.

function(tack_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;LINKS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|bench)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  list(TRANSFORM ARG_DEPS PREPEND tack_)
  list(TRANSFORM ARG_TEST_DEPS PREPEND tack_)
  add_library(tack_${name} STATIC ${sources})
  target_include_directories(tack_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tack_${name} PUBLIC ${ARG_DEPS} ${ARG_LINKS})

  if(TACK_TESTS AND tests)
    add_executable(tack_${name}_test ${tests})
    target_link_libraries(tack_${name}_test PRIVATE tack_${name} ${ARG_TEST_DEPS}
                          GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_definitions(tack_${name}_test PRIVATE
                               TACK_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    gtest_discover_tests(tack_${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 600)
  endif()
endfunction()
