# The libraries, all from Debian. Only libfuse may come from a private prefix: see tools/setup.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)

set(modules libbtrfsutil uuid sqlite3 libcap libacl libutf8proc libsystemd mount liburing)
if(CKPTFS_DEVICE_MAPPER)
  list(APPEND modules devmapper libcrypto)
endif()
foreach(module IN LISTS modules)
  pkg_check_modules(${module} REQUIRED QUIET IMPORTED_TARGET ${module})
endforeach()

# Defines ckptfs::fuse3. 3.18.2 is required: see fuse_version_min in tools/setup.
function(ckptfs_find_fuse)
  set(private "${CMAKE_SOURCE_DIR}/build/deps/fuse3/lib/pkgconfig")
  # Not cached: setup may have installed it since.
  foreach(entry IN ITEMS fuse_system fuse_private)
    unset(__pkg_config_checked_${entry} CACHE)
  endforeach()

  pkg_check_modules(fuse_system QUIET IMPORTED_TARGET fuse3>=3.18.2)
  if(fuse_system_FOUND)
    add_library(ckptfs::fuse3 ALIAS PkgConfig::fuse_system)
    message(STATUS "libfuse ${fuse_system_VERSION} of the system")
    return()
  endif()

  set(saved_path "$ENV{PKG_CONFIG_PATH}")
  set(ENV{PKG_CONFIG_PATH} "${private}:${saved_path}")
  pkg_check_modules(fuse_private QUIET fuse3>=3.18.2)
  set(ENV{PKG_CONFIG_PATH} "${saved_path}")
  if(NOT fuse_private_FOUND)
    message(FATAL_ERROR "libfuse >= 3.18.2 not found: run tools/setup")
  endif()
  # A static library: its own dependencies must be listed too.
  add_library(ckptfs::fuse3 INTERFACE IMPORTED GLOBAL)
  target_include_directories(ckptfs::fuse3 SYSTEM INTERFACE ${fuse_private_STATIC_INCLUDE_DIRS})
  target_compile_options(ckptfs::fuse3 INTERFACE ${fuse_private_STATIC_CFLAGS_OTHER})
  target_link_directories(ckptfs::fuse3 INTERFACE ${fuse_private_STATIC_LIBRARY_DIRS})
  target_link_libraries(
    ckptfs::fuse3 INTERFACE ${fuse_private_STATIC_LIBRARIES} Threads::Threads)
  message(STATUS "libfuse ${fuse_private_VERSION} of build/deps")
endfunction()
ckptfs_find_fuse()
