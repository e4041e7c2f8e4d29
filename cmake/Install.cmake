# What an outside project gets: the public headers, the core's static libraries and the target
# sluicegate::sluicegate that links them. The program is not part of it.
#
#   cmake --install BUILD --component sluicegate_library --prefix PREFIX

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(sluicegate_library INTERFACE)
add_library(sluicegate::sluicegate ALIAS sluicegate_library)
set_target_properties(sluicegate_library PROPERTIES EXPORT_NAME sluicegate)
target_link_libraries(sluicegate_library INTERFACE sg_engine)

set(SLUICEGATE_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sluicegate)
install(TARGETS sluicegate_library sg_base sg_limit sg_table sg_policy sg_shield sg_engine
  EXPORT sluicegate
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sluicegate_library)
install(EXPORT sluicegate NAMESPACE sluicegate:: FILE sluicegate-targets.cmake
  DESTINATION ${SLUICEGATE_CONFIG_DIR} COMPONENT sluicegate_library)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/sluicegate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT sluicegate_library FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/sluicegate-config.cmake.in
  ${PROJECT_BINARY_DIR}/sluicegate-config.cmake INSTALL_DESTINATION ${SLUICEGATE_CONFIG_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluicegate-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluicegate-config.cmake
  ${PROJECT_BINARY_DIR}/sluicegate-config-version.cmake
  DESTINATION ${SLUICEGATE_CONFIG_DIR} COMPONENT sluicegate_library)

if(SLUICEGATE_TESTS)
  add_subdirectory(${PROJECT_SOURCE_DIR}/tests/install)
endif()
