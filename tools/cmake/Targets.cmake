# Compile options of all targets, and helpers that create targets from globs.

add_library(ckptfs_options INTERFACE)
target_include_directories(ckptfs_options INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(
  ckptfs_options
  INTERFACE _FILE_OFFSET_BITS=64 _GNU_SOURCE _GLIBCXX_ASSERTIONS
            CKPTFS_VERSION="${PROJECT_VERSION}")
target_compile_options(
  ckptfs_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wformat=2 -Wcast-align
            -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Wimplicit-fallthrough
            # {.fd = fd} for a kernel struct means: the rest is zero.
            -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(
    ckptfs_options INTERFACE -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(ckptfs_options INTERFACE -Wthread-safety) # backend/base/mutex.h
endif()
if(CKPTFS_WERROR)
  target_compile_options(ckptfs_options INTERFACE -Werror)
endif()
target_link_options(ckptfs_options INTERFACE -Wl,--as-needed)

if(CKPTFS_SANITIZE)
  set(sanitize -fsanitize=${CKPTFS_SANITIZE})
  # Optimisation makes GCC take three times as long here (34 s for the longest file, 77 s with full debug
  # information), and the tests mostly wait for the disk. Only the thread sanitizer's stress test benefits
  # from it.
  set(optimise -O0)
  if(CKPTFS_SANITIZE STREQUAL "thread")
    set(optimise -O1)
  endif()
  target_compile_options(
    ckptfs_options INTERFACE ${sanitize} -fno-sanitize-recover=all -fno-omit-frame-pointer
                             ${optimise} -g1 -fno-pie)
  # Sanitizers add tables of pointers, 2.8 million of them in unit_tests: relocating those takes more than a
  # second at each start, and every test starts the program at least once.
  target_link_options(ckptfs_options INTERFACE ${sanitize} -no-pie)
else()
  target_compile_options(
    ckptfs_options
    INTERFACE -fstack-protector-strong
              $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  target_link_options(ckptfs_options INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()

# ckptfs_library(NAME GLOBS glob... [EXCEPT file...] LINK target...): a static library of the sources in the
# current folder that match the globs, except the excepted ones. Its libraries are also linked to its users. A
# folder that has no sources yet gives a library without code.
function(ckptfs_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "GLOBS;EXCEPT;LINK")
  list(TRANSFORM arg_GLOBS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  list(TRANSFORM arg_EXCEPT PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  file(GLOB sources CONFIGURE_DEPENDS ${arg_GLOBS})
  list(REMOVE_ITEM sources ${arg_EXCEPT})
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ckptfs_options ${arg_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ckptfs_options ${arg_LINK})
  endif()
endfunction()
