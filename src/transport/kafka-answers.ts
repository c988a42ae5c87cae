/** What kafkajs tells of a request that was answered. */
type Answered = { readonly payload: { readonly apiName: string; readonly broker: string } }

/** Which broker (`host:port`) has last answered requests of a kind, by Kafka's name for it; undefined before the first. */
export function whoAnswers(
  kind: string,
  listen: (heard: (request: Answered) => void) => void,
): { readonly broker: string | undefined } {
  let broker: string | undefined
  listen(({ payload }) => {
    if (payload.apiName === kind) ({ broker } = payload)
  })
  return {
    get broker() {
      return broker
    },
  }
}
