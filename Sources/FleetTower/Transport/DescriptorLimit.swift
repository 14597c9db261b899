internal import CEvent  // Its header brings the declarations of limits along.
import Glibc

/// Lets this process have as many open files and connections as its user may have at all. A shell hands out 1024 or so
/// and expects whoever needs more to ask.
/// - Returns: how many those are.
@discardableResult
public func raiseDescriptorLimit() -> Int {
  let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
  var limit = rlimit()
  // The calls read and write one such structure.
  guard unsafe getrlimit(resource, &limit) == 0 else { return 0 }
  limit.rlim_cur = limit.rlim_max
  _ = unsafe setrlimit(resource, &limit)
  return Int(clamping: limit.rlim_cur)
}
