# Which tests run beside which, which start first and which have more time: here and nowhere else, each with its
# reason. A test that has no line runs beside any other.
#
#   TIMED    measures milliseconds, or how long the daemon looks for who holds a file. One such test at a time, and
#            with one other at most: it counts for two of the three that tools/check runs at a time. They start
#            before all others, as they wait for each other.
#   SWITCH   needs the kernel's switch for FUSE over io_uring as it sets it: one of these at a time.
#   CACHES   empties the kernel's caches, or looks at what is in them: one of these at a time.
#   LONG     takes half a minute and more: has twice the time, and starts early, or it would be left over to run
#            alone.
#   EARLY    starts early for the same reason; its folder gives it the time that it needs.
function(ckptfs_tune test)
  cmake_parse_arguments(PARSE_ARGV 1 tune "TIMED;SWITCH;CACHES;LONG;EARLY" "BECAUSE" "")
  if(tune_UNPARSED_ARGUMENTS OR NOT tune_BECAUSE)
    message(FATAL_ERROR "ckptfs_tune(${test}): a reason is missing, or something is not known")
  endif()
  if(NOT TEST "${test}")
    message(FATAL_ERROR "ckptfs_tune(${test}): there is no such test")
  endif()
  set(locks "")
  foreach(resource IN ITEMS TIMED SWITCH CACHES)
    if(tune_${resource})
      string(TOLOWER ${resource} lock)
      list(APPEND locks ${lock})
    endif()
  endforeach()
  set_tests_properties("${test}" PROPERTIES RESOURCE_LOCK "${locks}")
  if(tune_LONG)
    get_test_property("${test}" TIMEOUT timeout)
    math(EXPR timeout "${timeout} * 2")
    set_tests_properties("${test}" PROPERTIES TIMEOUT ${timeout} COST 200)
  endif()
  if(tune_EARLY)
    set_tests_properties("${test}" PROPERTIES COST 100)
  endif()
  if(tune_TIMED)
    set_tests_properties("${test}" PROPERTIES PROCESSORS 2 COST 300)
  endif()
endfunction()

ckptfs_tune(integration/attacks_at_once TIMED BECAUSE "compares a quiet user's checkpoints with and without attacks")
ckptfs_tune(integration/full_disk TIMED BECAUSE "watches a disk's last blocks, which come back in the background")
ckptfs_tune(integration/hung_process TIMED BECAUSE "processes that hang who looks at them hold up others")
ckptfs_tune(integration/io_uring TIMED SWITCH BECAUSE "says how long a killed process lives; the switch is off and on")
ckptfs_tune(integration/long_calls TIMED BECAUSE "limits how long a checkpoint waits for a piece of a call")
ckptfs_tune(integration/neighbour TIMED BECAUSE "compares checkpoints beside a busy neighbour")
ckptfs_tune(integration/one_moment TIMED BECAUSE "counts moments, which writes of 50 ms spoil")
ckptfs_tune(integration/open_writers TIMED BECAUSE "the daemon looks for who holds a file for a limited time")
ckptfs_tune(integration/rollback_readers TIMED BECAUSE "counts what readers see during rollbacks: many of both")
ckptfs_tune(integration/stall TIMED BECAUSE "limits how long a checkpoint keeps other calls waiting")
ckptfs_tune(integration/startup_lock TIMED BECAUSE "says within how many milliseconds a second daemon is refused")
ckptfs_tune(integration/unlinked_open TIMED BECAUSE "compares the times of checkpoints")
ckptfs_tune(integration/verbs_busy TIMED BECAUSE "the daemon looks for who holds a file for a limited time")
ckptfs_tune(integration/write_stop_share TIMED BECAUSE "counts moments, which writes of 50 ms spoil")

ckptfs_tune(integration/fsx SWITCH BECAUSE "one of its cases turns the switch on")
ckptfs_tune(integration/handles SWITCH CACHES BECAUSE "turns the switch on, and has the kernel forget files")
ckptfs_tune(integration/kept_requests SWITCH BECAUSE "turns the switch on")
ckptfs_tune(integration/killed_clients SWITCH BECAUSE "turns the switch on")

ckptfs_tune(integration/bit_flips CACHES BECAUSE "has the kernel forget files, to read them from the disk")
ckptfs_tune(integration/bit_flips_btrfs_base CACHES BECAUSE "has the kernel forget files, to read them from the disk")
ckptfs_tune(integration/verbs_caching CACHES BECAUSE "what is forgotten cannot be stale, so it must stay")
ckptfs_tune(integration/verbs_inodes CACHES BECAUSE "has the kernel forget files, to see their numbers again")

ckptfs_tune(integration/attack_memory LONG BECAUSE "grows lists and answers until they meet a limit")
ckptfs_tune(integration/automatic LONG BECAUSE "waits for what the daemon does at intervals of seconds")
ckptfs_tune(integration/first_mount LONG BECAUSE "mounts a new store for each step at which that can fail")
ckptfs_tune(integration/gc LONG BECAUSE "holds twenty imports in work, and fills an image twice")
ckptfs_tune(integration/hostile_catalog LONG BECAUSE "mounts a store for each kind of damage")
ckptfs_tune(integration/hostile_store LONG BECAUSE "mounts a store for each kind of damage")
ckptfs_tune(integration/posix LONG BECAUSE "runs all expectations on btrfs and on several mounts")
ckptfs_tune(integration/read_only LONG BECAUSE "mounts a store for each state of its disk")
ckptfs_tune(integration/rights LONG BECAUSE "has a check for each cell of a large table")
ckptfs_tune(integration/space_guard LONG BECAUSE "fills a disk for each place that can run short")
ckptfs_tune(integration/stopped_daemon LONG BECAUSE "stops the daemon for ten seconds, several times")

# A few hundred mounts each.
get_property(all_tests DIRECTORY PROPERTY TESTS)
list(FILTER all_tests INCLUDE REGEX "^crash/")
foreach(test IN LISTS all_tests)
  ckptfs_tune(${test} EARLY BECAUSE "mounts once for each failpoint")
endforeach()
ckptfs_tune(vm/dm_scripts EARLY BECAUSE "runs scripts of the other folders in a guest")
ckptfs_tune(vm/device_mapper EARLY BECAUSE "runs the unit tests of a backend in a guest")
