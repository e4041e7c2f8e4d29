# How a module of src/ becomes a library and a test program.
#
#   sg_module(limit SOURCES token_bucket.cc ... DEPS base [LIBS fmt::fmt])   -> static library sg_limit
#   sg_test(limit token_bucket_test.cc ... [LIBS ...])                       -> program limit_test, every case in ctest
#
# DEPS are the arrows of the design, and tools/check_layers.py compares them with the includes.

function(sg_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(sg_${name} STATIC ${ARG_SOURCES})
  add_library(sluicegate::${name} ALIAS sg_${name})
  set_target_properties(sg_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(sg_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:include>)
  target_compile_features(sg_${name} PUBLIC cxx_std_23)
  target_link_libraries(sg_${name} PRIVATE $<BUILD_INTERFACE:sg_warnings>)
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(sg_${name} PUBLIC sg_${dep})
  endforeach()
  target_link_libraries(sg_${name} PUBLIC ${ARG_LIBS})
endfunction()

function(sg_test name)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  if(NOT SLUICEGATE_TESTS)
    return()
  endif()
  add_executable(${name}_test ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name}_test PRIVATE sg_${name} sg_warnings ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  set_property(GLOBAL APPEND PROPERTY SLUICEGATE_UNIT_TESTS ${name}_test)
  gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300 LABELS unit)
endfunction()
