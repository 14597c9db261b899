import Compute
import Detection
import Interchange
import Network

/// An input of an exported model and what it gives here, under the ONNX file's names, so that another runtime's answer
/// can be compared.
struct ExportSample {
  let content: SafetensorsFile

  init(_ model: ModelFile, options: ONNXModel.Options, runtime: Runtime) throws {
    let (height, width) = (options.imageHeight, options.imageWidth)
    // A dynamic batch shows best with more than one.
    let images = if case .fixed(let count) = options.batch { count } else { 2 }
    let pixels = (0..<images * height * width * 3).map { index in
      Float((UInt32(truncatingIfNeeded: index) &* 2_654_435_761) >> 24) / 255
    }
    let plan = try InferencePlan(
      model.network, model.parameters, batchSize: images, imageHeight: height, imageWidth: width, runtime: runtime)
    plan.run(pixels)

    var tensors = ["images": Self.planes(pixels, images: images, height: height, width: width)]
    let detect = model.network.detect
    switch options.head {
    case .raw:
      for level in plan.heads.indices { tensors["head\(level)"] = Self.raw(plan, level) }
    case .decoded: tensors["output"] = Self.decoded(plan, detect)
    }
    content = SafetensorsFile(tensors: tensors.mapValues { StoredTensor($0) })
  }

  /// `N × H × W × C` → `N × C × H × W`.
  private static func planes(_ pixels: [Float], images: Int, height: Int, width: Int) -> Tensor {
    var planes = Tensor(shape: [images, 3, height, width])
    let area = height * width
    for index in pixels.indices {
      let (pixel, channel) = (index / 3, index % 3)
      planes.values[(pixel / area * 3 + channel) * area + pixel % area] = pixels[index]
    }
    return planes
  }

  /// `N × H × W × A × V` → `N × A × H × W × V`.
  private static func raw(_ plan: InferencePlan, _ level: Int) -> Tensor {
    let shape = plan.heads[level]
    let (area, values) = (shape.height * shape.width, shape.valuesPerAnchor)
    var result = Tensor(shape: [shape.images, shape.anchors, shape.height, shape.width, values])
    plan.withHead(level) { head in
      for cell in 0..<shape.cellCount {
        let (place, anchor) = (cell / shape.anchors, cell % shape.anchors)
        let target = ((place / area * shape.anchors + anchor) * area + place % area) * values
        for value in 0..<values { result.values[target + value] = head[cell * values + value] }
      }
    }
    return result
  }

  /// `N × boxes × V`.
  private static func decoded(_ plan: InferencePlan, _ detect: Detect) -> Tensor {
    var predictions = Predictions(classCount: detect.classCount)
    for image in 0..<plan.batchSize {
      for level in plan.heads.indices {
        plan.withHead(level) { head in
          predictions.append(
            level: level, of: detect, shape: plan.heads[level], head: head, image: image,
            objectnessAbove: nil)
        }
      }
    }
    let boxes = predictions.rowCount / plan.batchSize
    return Tensor(shape: [plan.batchSize, boxes, detect.valuesPerAnchor], values: predictions.values)
  }
}
