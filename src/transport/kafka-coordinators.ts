/** What is used of a client of kafkajs, which has it under a symbol of its own. */
type MakesCluster = (options: unknown) => Cluster
type Cluster = {
  findGroupCoordinator(of: { readonly groupId: string; readonly coordinatorType: number }): Promise<Broker>
  findBroker(of: Pick<Broker, 'nodeId'>): Promise<Broker>
}
type Broker = { readonly nodeId: number }

/** By its description: the symbol is kafkajs's alone. */
const MAKES_CLUSTER = 'private:Kafka:createCluster'

/**
 * Has everything that this client of kafkajs opens from now on ask once where a coordinator is. Left alone it asks anew
 * before each of a transaction's four requests to one. For producers that are dropped after any error: a coordinator that has
 * moved is one, and the next producer asks again. Throws where kafkajs is laid out in another way.
 */
export function rememberCoordinators(client: object): void {
  const symbol = Object.getOwnPropertySymbols(client).find(({ description }) => description === MAKES_CLUSTER)
  if (symbol === undefined) throw new Error(`kafkajs: a client has no ${MAKES_CLUSTER}, expected 2.2.4`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- kafkajs has no types for it; a test counts its requests
  const makes = client as Record<symbol, MakesCluster>
  const make = makes[symbol]
  makes[symbol] = options => {
    const cluster = make?.(options)
    if (typeof cluster?.findGroupCoordinator !== 'function' || typeof cluster.findBroker !== 'function')
      throw new Error('kafkajs: a cluster has no findGroupCoordinator, expected 2.2.4')
    const find = cluster.findGroupCoordinator.bind(cluster)
    const known = new Map<string, number>()
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
      known.set(key, broker.nodeId)
      return broker
    }
    return cluster
  }
}
