# Builds the outside project as a stranger would, runs it and reads what it printed.
#   cmake -D MODE=package|folder -D BUILD= -D SOURCE= -D WORK= -D COMPILER= [-D SANITIZE=] -P check.cmake
# Each step's failure is told with its output.

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${code}:\n${out}")
  endif()
  set(output "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
set(arguments -S ${SOURCE}/tests/install/outside -B ${WORK}/build -G Ninja
  -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_BUILD_TYPE=Release)
if(SANITIZE)
  list(APPEND arguments -D CMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()
find_program(ccache ccache)
if(ccache)
  list(APPEND arguments -D CMAKE_CXX_COMPILER_LAUNCHER=${ccache})
endif()

if(MODE STREQUAL package)
  run(${CMAKE_COMMAND} --install ${BUILD} --component sluicegate_library --prefix ${WORK}/prefix)
  # Nothing private may be installed, and no header more than the design's twelve.
  file(GLOB_RECURSE headers RELATIVE ${WORK}/prefix ${WORK}/prefix/*.h)
  list(LENGTH headers count)
  if(count EQUAL 0 OR count GREATER 12)
    message(FATAL_ERROR "${count} headers are installed: ${headers}")
  endif()
  foreach(header IN LISTS headers)
    if(NOT header MATCHES "^include/sluicegate/[a-z_]+[.]h$")
      message(FATAL_ERROR "a private header is installed: ${header}")
    endif()
  endforeach()
  # Moved, so that no path of the build is needed.
  file(RENAME ${WORK}/prefix ${WORK}/moved)
  list(APPEND arguments -D CMAKE_PREFIX_PATH=${WORK}/moved)
else()
  list(APPEND arguments -D SLUICEGATE_FOLDER=${SOURCE})
endif()

run(${CMAKE_COMMAND} ${arguments})
run(${CMAKE_COMMAND} --build ${WORK}/build --target outside --parallel 2)
run(${WORK}/build/outside)
string(FIND "${output}" ": Rate limit exceeded: 2 per minute. Retry after 6" found)
if(found EQUAL -1)
  message(FATAL_ERROR "the outside program printed: ${output}")
endif()
message(STATUS "${output}")
