import { ConfigError } from '../errors.ts'

/** What is used of a client of kafkajs, which has it under a symbol of its own. */
type MakesCluster = (options: unknown) => Cluster
type Cluster = {
  findGroupCoordinator(of: { readonly groupId: string; readonly coordinatorType: number }): Promise<Broker>
  findBroker(of: Pick<Broker, 'nodeId'>): Promise<Broker>
}
type Broker = { readonly nodeId: number }

/** By its description: the symbol is kafkajs's alone. */
const MAKES_CLUSTER = 'private:Kafka:createCluster'

export type Coordinators = {
  /** From now on each is asked for once. */
  remember(): void
  /** They are asked for anew every time, as kafkajs does by itself. */
  forget(): void
}

/**
 * Has everything that this client of kafkajs opens from now on remember where coordinators are, when told to. kafkajs asks
 * before each of a transaction's four requests to one. A coordinator that has moved fails a request, so this is for producers that
 * are dropped then, between a claim and the first error: kafkajs's own attempts must ask again. Throws ConfigError
 * where kafkajs is laid out in another way.
 */
export function rememberCoordinators(client: object): Coordinators {
  const symbol = Object.getOwnPropertySymbols(client).find(({ description }) => description === MAKES_CLUSTER)
  if (symbol === undefined) throw new ConfigError(`kafkajs: a client has no ${MAKES_CLUSTER}, expected version 2.2.4`)
  const known = new Map<string, number>()
  let remembers = false
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- kafkajs has no types for it; a test counts its requests
  const makes = client as Record<symbol, MakesCluster>
  const make = makes[symbol]
  makes[symbol] = options => {
    const cluster = make?.(options)
    if (typeof cluster?.findGroupCoordinator !== 'function' || typeof cluster.findBroker !== 'function')
      throw new ConfigError('kafkajs: a cluster has no findGroupCoordinator, expected version 2.2.4')
    const find = cluster.findGroupCoordinator.bind(cluster)
    cluster.findGroupCoordinator = async of => {
      const key = `${of.coordinatorType} ${of.groupId}`
      const nodeId = known.get(key)
      if (nodeId !== undefined)
        try {
          return await cluster.findBroker({ nodeId })
        } catch {
          // It cannot be reached, so another broker may have become the coordinator.
          known.delete(key)
        }
      const broker = await find(of)
      if (remembers) known.set(key, broker.nodeId)
      return broker
    }
    return cluster
  }
  return {
    remember: () => void (remembers = true),
    forget() {
      remembers = false
      known.clear()
    },
  }
}
