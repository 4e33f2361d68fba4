// The parts of the table of operations (fuse_operations.cc).
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fs/fuse/fuse_replies.h"
#include "fs/fuse/fuse_request.h"
#include "fs/fuse/kept_arguments.h"
#include "fs/fuse/run_class.h"

namespace ckptfs {

// A deferred call of a handler, with the arguments of the request and the constants of its row in the table.
// Sends what the handler returns.
template <auto kHandler, typename Arguments, auto... kConstants>
class HandlerCall {
 public:
  HandlerCall(fuse_req_t request, Arguments&& arguments)
      : request_(request), arguments_(std::move(arguments)) {}

  void operator()() const {
    std::apply(
        [this](const auto&... arguments) {
          Send(request_, kHandler(request_, arguments..., kConstants...));
        },
        arguments_);
  }

 private:
  fuse_req_t request_;
  Arguments arguments_;
};

// Rows: a handler and how it is run. `Condition::Holds` and `Scope::Of` get the request and its arguments. If
// a condition returns more than a bool, the handler gets that as its last argument.
struct Always {
  template <typename... Arguments>
  static bool Holds(fuse_req_t /*request*/, const Arguments&... /*arguments*/) {
    return true;
  }
};

template <typename Condition, RunClass kRun, auto kHandler, auto... kConstants>
struct When {
  using Asks = Condition;
  template <typename Arguments>
  static void Serve(fuse_req_t request, const char* operation, Arguments arguments) {
    Run<kRun>(request, operation,
              HandlerCall<kHandler, Arguments, kConstants...>(request, std::move(arguments)));
  }
};

template <RunClass kRun, auto kHandler, auto... kConstants>
using Otherwise = When<Always, kRun, kHandler, kConstants...>;

// With RunClass::kVerb.
template <typename Condition, typename Scope, auto kHandler>
struct WhenVerb {
  using Asks = Condition;
  template <typename Arguments>
  static void Serve(fuse_req_t request, const char* operation, Arguments arguments) {
    VerbScope scope = std::apply(
        [request](const auto&... each) { return Scope::Of(request, each...); }, arguments);
    RunVerb(request, operation, std::move(scope),
            HandlerCall<kHandler, Arguments>(request, std::move(arguments)));
  }
};

// An operation's name as a template argument.
template <size_t kSize>
struct OperationName {
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is what this stands for
  constexpr OperationName(const char (&literal)[kSize]) {
    for (size_t i = 0; i < kSize; ++i) text[i] = literal[i];
  }
  char text[kSize] = {};
};

// A request of the kernel: the first row whose condition holds serves it. Converts to the callback that
// libfuse expects. libfuse is C, so nothing may be thrown through it.
template <OperationName kName, typename... Rows>
class Operation {
  using Last = std::tuple_element_t<sizeof...(Rows) - 1, std::tuple<Rows...>>;
  static_assert(std::is_same_v<typename Last::Asks, Always>, "the last row serves all the rest");

 public:
  template <typename... Arguments>
  using Callback = void (*)(fuse_req_t, Arguments...);

  template <typename... Arguments>
  // NOLINTNEXTLINE(google-explicit-constructor): a row is written as it is called
  constexpr operator Callback<Arguments...>() const {
    return Call<Arguments...>;
  }

 private:
  template <typename... Arguments>
  static void Call(fuse_req_t request, Arguments... arguments) noexcept {
    try {
      auto decoded = Decode(request, arguments...);
      static_cast<void>((TakenBy<Rows>(request, decoded) || ...));
    } catch (...) {
      ReplyError(request, ErrnoOfException(kName.text));
    }
  }

  template <typename Row, typename Arguments>
  static bool TakenBy(fuse_req_t request, Arguments& arguments) {
    auto found = std::apply(
        [request](const auto&... each) { return Row::Asks::Holds(request, each...); }, arguments);
    if (!found) return false;
    if constexpr (std::is_same_v<decltype(found), bool>) {
      Row::Serve(request, kName.text, std::move(arguments));
    } else {
      Row::Serve(request, kName.text,
                 std::tuple_cat(std::move(arguments), std::make_tuple(std::move(found))));
    }
    return true;
  }
};

}  // namespace ckptfs
