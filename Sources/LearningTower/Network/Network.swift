/// A detector as a value: which operations, on whose outputs, with which shapes, under which parameter names.
///
/// Parameters live beside it in `Parameters`, under YOLOv5's own `state_dict` names. Shape inference, counts, execution
/// plans, pruning groups and export are functions of this value; pruning returns a new one.
///
/// `nodes` is in execution order: an input of a node stands before it, and node 0 is the image.
public struct Network: Sendable, Hashable, Codable {
  public var name: String
  public var nodes: [Node]
  /// YOLOv5's module tree in declaration order. It fixes the order of the `state_dict`, the module count YOLOv5 prints
  /// as "layers", and tells which batch norms its `fuse()` folds.
  public var modules: [Module]
  public var detect: Detect

  public init(name: String, nodes: [Node], modules: [Module], detect: Detect) {
    self.name = name
    self.nodes = nodes
    self.modules = modules
    self.detect = detect
  }
}

/// One operation and the indices of the nodes it reads.
public struct Node: Sendable, Hashable, Codable {
  /// The path of the module that owns the parameters, such as `model.2.cv1.conv`; unique. A node without parameters is
  /// named after the module that runs it, such as `model.2.m.0.add`.
  public var name: String
  public var operation: Operation
  public var inputs: [Int]

  public init(name: String, operation: Operation, inputs: [Int]) {
    self.name = name
    self.operation = operation
    self.inputs = inputs
  }
}

/// One entry of YOLOv5's module tree, such as `model.2` of type `C3`.
public struct Module: Sendable, Hashable, Codable {
  public var path: String
  public var type: String

  public init(path: String, type: String) {
    self.path = path
    self.type = type
  }
}

/// The detection head: one raw map per level, each of `anchors × (5 + classCount)` channels, anchor-major.
public struct Detect: Sendable, Hashable, Codable {
  /// The module's path, such as `model.24`.
  public var path: String
  public var classCount: Int
  /// Anchor sizes in pixels, `[level][anchor]`.
  public var anchors: [[Anchor]]
  /// Pixels per cell, one per level.
  public var strides: [Int]
  /// The nodes whose outputs are the raw maps, one per level (P3, P4, P5).
  public var outputs: [Int]

  public init(path: String, classCount: Int, anchors: [[Anchor]], strides: [Int], outputs: [Int]) {
    self.path = path
    self.classCount = classCount
    self.anchors = anchors
    self.strides = strides
    self.outputs = outputs
  }

  /// Box (4), objectness (1) and class scores.
  public var valuesPerAnchor: Int { 5 + classCount }
}

public struct Anchor: Sendable, Hashable, Codable {
  public var width: Float
  public var height: Float

  public init(width: Float, height: Float) {
    self.width = width
    self.height = height
  }
}
