import { bytesOf, elementType, type ElementType, type TypedData } from './element-types.ts'
import type { AttributeMessage, GraphMessage, NodeMessage, TensorMessage, ValueInfoMessage } from './proto.ts'

/** A value in a graph: the name of an input, an initializer or a node's output. Branded, so that an attribute cannot be passed for it. */
export type Value = string & { readonly __value: unique symbol }

/** A dimension: a size, or the name of one that is known at run time. */
export type Dimension = number | string

/** Attributes of a node. Integers and floats must be told apart, so floats come wrapped: `float(1e-5)`. */
export type Attributes = Readonly<Record<string, number | Float | string | readonly number[] | Subgraph>>

export type Float = { readonly float: number }

/** Marks a number as a float attribute. */
export const float = (value: number): Float => ({ float: value })

/** The body of a Loop or a Scan, or an If branch. */
export type Subgraph = { readonly message: GraphMessage }

/** Where a weight lies: bytes of a file in the session's weight folder. */
export type ExternalData = { readonly location: string; readonly offset: number; readonly length: number }

/** A graph under construction: inputs, weights and nodes in the order in which they are called for. */
export type Graph = {
  /** Declares an input. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): Value
  /** A small constant, stored in the graph. `shape` defaults to a scalar for one element, else to one axis. */
  constant(type: ElementType, data: readonly number[] | TypedData, shape?: readonly number[]): Value
  /** A weight that stays in its file; asking twice for a name gives the same value. */
  weight(name: string, type: ElementType, shape: readonly number[], data: ExternalData): Value
  /** A weight whose bytes are in memory; asking twice for a name gives the same value. */
  inline(name: string, type: ElementType, shape: readonly number[], data: Uint8Array): Value
  /** A node with one output. An absent optional input is `null`. `op` of another domain is written `domain::Op`. */
  node(op: string, inputs: readonly (Value | null)[], attributes?: Attributes): Value
  /** A node with `count` outputs. */
  nodes(op: string, inputs: readonly (Value | null)[], attributes: Attributes, count: number): readonly Value[]
  /** A body that may use every value of this graph. */
  subgraph(name: string, build: (body: Graph) => void): Subgraph
  /** Declares the next output; the shape stays open. `name` renames it, and is a must for a value that no node of this graph made. */
  output(value: Value, type: ElementType, name?: string, shape?: readonly Dimension[]): void
}

/** Builds a graph by named calls, in the order in which data flows. Names are unique across all of its subgraphs. */
export function buildGraph(name: string, build: (graph: Graph) => void): GraphMessage {
  let serial = 0
  return graphOf(name, build)

  function graphOf(graphName: string, fill: (graph: Graph) => void): GraphMessage {
    const node: NodeMessage[] = []
    const initializer: TensorMessage[] = []
    const input: ValueInfoMessage[] = []
    const output: ValueInfoMessage[] = []
    const weights = new Map<string, Value>()
    const constants = new Map<string, Value>()

    const graph: Graph = {
      input(valueName, type, shape) {
        input.push(valueInfo(valueName, type, shape))
        return asValue(valueName)
      },
      constant(type, data, shape = data.length === 1 ? [] : [data.length]) {
        const rawData = bytesOf(type, data)
        const key = `${type} ${shape.join('x')} ${rawData.length <= 64 ? rawData.toString() : (serial += 1)}`
        const known = constants.get(key)
        if (known !== undefined) return known
        const value = fresh('constant')
        initializer.push({ name: value, dims: [...shape], dataType: elementType[type], rawData })
        constants.set(key, value)
        return value
      },
      weight(weightName, type, shape, data) {
        return once(weightName, () => ({
          name: weightName,
          dims: [...shape],
          dataType: elementType[type],
          dataLocation: EXTERNAL,
          externalData: [
            { key: 'location', value: data.location },
            { key: 'offset', value: String(data.offset) },
            { key: 'length', value: String(data.length) },
          ],
        }))
      },
      inline(weightName, type, shape, rawData) {
        return once(weightName, () => ({ name: weightName, dims: [...shape], dataType: elementType[type], rawData }))
      },
      node(op, inputs, attributes = {}) {
        const [value] = graph.nodes(op, inputs, attributes, 1)
        if (value === undefined) throw new Error(`${op}: no output`)
        return value
      },
      nodes(op, inputs, attributes, count) {
        const [domain, opType] = op.includes('::') ? op.split('::') : ['', op]
        const values = Array.from({ length: count }, () => fresh(opType ?? op))
        node.push({
          input: inputs.map(value => value ?? ''),
          output: [...values],
          name: values[0] ?? '',
          opType: opType ?? op,
          domain: domain ?? '',
          attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
        })
        return values
      },
      subgraph: (bodyName, fillBody) => ({ message: graphOf(bodyName, fillBody) }),
      output(value, type, outputName, shape) {
        if (outputName !== undefined) {
          node.push({
            input: [value],
            output: [outputName],
            name: outputName,
            opType: 'Identity',
            domain: '',
            attribute: [],
          })
        }
        output.push(valueInfo(outputName ?? value, type, shape))
      },
    }
    fill(graph)
    return { name: graphName, node, initializer, input, output }

    function once(weightName: string, tensor: () => TensorMessage): Value {
      const known = weights.get(weightName)
      if (known !== undefined) return known
      initializer.push(tensor())
      weights.set(weightName, asValue(weightName))
      return asValue(weightName)
    }
  }

  function fresh(hint: string): Value {
    serial += 1
    return asValue(`${hint}_${serial}`)
  }
}

/** TensorProto.DataLocation.EXTERNAL */
const EXTERNAL = 1

/** The brand is only a promise to the compiler: every value is made here. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else makes a Value
const asValue = (name: string): Value => name as Value

function valueInfo(name: string, type: ElementType, shape?: readonly Dimension[]): ValueInfoMessage {
  return {
    name,
    type: {
      tensorType: {
        elemType: elementType[type],
        ...(shape && {
          shape: { dim: shape.map(size => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
        }),
      },
    },
  }
}

/** AttributeProto.AttributeType */
const attributeType = { float: 1, int: 2, string: 3, graph: 5, floats: 6, ints: 7 } as const

function attribute(name: string, value: Attributes[string]): AttributeMessage {
  if (typeof value === 'number') return { name, type: attributeType.int, i: value }
  if (typeof value === 'string') return { name, type: attributeType.string, s: new TextEncoder().encode(value) }
  if (value === undefined) throw new Error(`attribute ${name} has no value`)
  if ('float' in value) return { name, type: attributeType.float, f: value.float }
  if ('message' in value) return { name, type: attributeType.graph, g: value.message }
  return { name, type: attributeType.ints, ints: [...value] }
}
