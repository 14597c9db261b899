/// The numbers that steer the fleet, in one place.
public struct FleetPolicy: Hashable, Sendable {
  /// How long an attempt may go on without a sign of its worker.
  public var leaseMilliseconds: Int64 = 20_000
  public var heartbeatMilliseconds: Int64 = 5_000
  /// A job that fails this often is given up.
  public var failureLimit = 3
  /// A job that takes its worker down this often, without a checkpoint between, is set aside.
  public var lossLimit = 3
  /// Pause after the first failure; it doubles with each further one.
  public var retryMilliseconds: Int64 = 1_000
  public var retryLimitMilliseconds: Int64 = 60_000
  /// A benchmark that waited this long gets its box to itself even while other jobs could use it.
  public var benchmarkPatienceMilliseconds: Int64 = 600_000
  /// A sweep's benchmark box that is gone this long is given up; the benchmarks start anew on another one.
  public var boxPatienceMilliseconds: Int64 = 600_000
  /// The most vanished workers that are listed.
  public var absentWorkerLimit = 4_096

  /// Lost artifacts that workers are asked for at the same time, and how long each has to bring one.
  public var repairLimit = 8
  /// How long a worker may yet come that has what nobody else has.
  public var repairGraceMilliseconds: Int64 = 20_000
  public var repairPatienceMilliseconds: Int64 = 600_000

  public init() {}
}
