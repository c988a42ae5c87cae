import protobuf from 'protobufjs'

/** The messages of onnx.proto that we write, field numbers as in its version 3. */
const schema = `
syntax = "proto3";
message StringStringEntry { string key = 1; string value = 2; }
message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9;
  repeated StringStringEntry external_data = 13; int32 data_location = 14; }
message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
message TensorShape { repeated Dimension dim = 1; }
message TypeTensor { int32 elem_type = 1; TensorShape shape = 2; }
message Type { TypeTensor tensor_type = 1; }
message ValueInfo { string name = 1; Type type = 2; }
message Attribute { string name = 1; float f = 2; int64 i = 3; bytes s = 4; Graph g = 6; repeated float floats = 7;
  repeated int64 ints = 8; int32 type = 20; }
message Node { repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
  repeated Attribute attribute = 5; string domain = 7; }
message Graph { repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated ValueInfo input = 11;
  repeated ValueInfo output = 12; }
message OperatorSet { string domain = 1; int64 version = 2; }
message Model { int64 ir_version = 1; string producer_name = 2; string producer_version = 3; Graph graph = 7;
  repeated OperatorSet opset_import = 8; }
`

export type TensorMessage = {
  readonly name: string
  readonly dims: readonly number[]
  readonly dataType: number
  readonly rawData?: Uint8Array
  readonly dataLocation?: number
  readonly externalData?: readonly { readonly key: string; readonly value: string }[]
}

export type ValueInfoMessage = {
  readonly name: string
  readonly type: {
    readonly tensorType: {
      readonly elemType: number
      readonly shape?: { readonly dim: readonly ({ readonly dimValue: number } | { readonly dimParam: string })[] }
    }
  }
}

export type AttributeMessage = { readonly name: string; readonly type: number } & (
  | { readonly i: number }
  | { readonly f: number }
  | { readonly s: Uint8Array }
  | { readonly ints: readonly number[] }
  | { readonly g: GraphMessage }
)

export type NodeMessage = {
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly name: string
  readonly opType: string
  readonly domain: string
  readonly attribute: readonly AttributeMessage[]
}

export type GraphMessage = {
  readonly name: string
  readonly node: readonly NodeMessage[]
  readonly initializer: readonly TensorMessage[]
  readonly input: readonly ValueInfoMessage[]
  readonly output: readonly ValueInfoMessage[]
}

/** IR version 10 goes with opset 21. */
const IR_VERSION = 10
const OPSET = 21

const model = protobuf.parse(schema).root.lookupType('Model')

export type ModelOptions = {
  /** The version of lorastream. */
  readonly producerVersion: string
  /**
   * Keep the named dimensions of inputs and outputs, as onnx.checker demands. ONNX Runtime takes seconds to propagate
   * the names through a large graph and gains nothing by them, so sessions go without.
   */
  readonly namedDimensions?: boolean
}

/** The bytes of a ModelProto around a graph: opset 21 and ONNX Runtime's own operators. */
export function modelBytes(graph: GraphMessage, options: ModelOptions): Uint8Array {
  return model
    .encode({
      irVersion: IR_VERSION,
      producerName: 'lorastream',
      producerVersion: options.producerVersion,
      graph:
        options.namedDimensions === true
          ? graph
          : { ...graph, input: graph.input.map(fixedShape), output: graph.output.map(fixedShape) },
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: 'com.microsoft', version: 1 },
      ],
    })
    .finish()
}

/** Without its shape, unless every dimension of it is a number. */
function fixedShape(info: ValueInfoMessage): ValueInfoMessage {
  const { elemType, shape } = info.type.tensorType
  if (shape?.dim.every(dim => 'dimValue' in dim)) return info
  return { name: info.name, type: { tensorType: { elemType } } }
}
