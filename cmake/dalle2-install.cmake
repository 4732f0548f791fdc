# `cmake --install` puts the headers, the licence and a package for find_package(dalle2) in place.
include(CMakePackageConfigHelpers)

set(dalle2_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/dalle2)
install(DIRECTORY include/dalle2 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/dalle2)
install(TARGETS dalle2 EXPORT dalle2-targets)
install(EXPORT dalle2-targets NAMESPACE dalle2:: DESTINATION ${dalle2_package_dir})
configure_package_config_file(cmake/dalle2-config.cmake.in dalle2-config.cmake
                              INSTALL_DESTINATION ${dalle2_package_dir})
# Headers alone: the same package serves every architecture.
write_basic_package_version_file(dalle2-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/dalle2-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/dalle2-config-version.cmake
              cmake/dalle2-compiled.cmake cmake/dalle2-dependencies.cmake
        DESTINATION ${dalle2_package_dir})
