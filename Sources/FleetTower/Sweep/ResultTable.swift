/// The results of a sweep: one row per trial, and which of them lie on the front.
public struct ResultTable: Hashable, Sendable, Codable {
  public struct Row: Hashable, Sendable, Codable {
    public var trial: TrialID
    /// The grid point, by the axis' name in the sweep file.
    public var point: [String: PlainValue]
    /// What has been measured so far, by the metric's name.
    public var metrics: [String: Double]
    /// `done`, `running`, `failed` …
    public var state: String
    public var isOnFront: Bool
  }
  public var sweep: SweepID
  public var objectives: [Objective]
  public var rows: [Row]
}
