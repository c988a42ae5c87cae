import type { Missing } from '../../infra/ladder.ts'

/**
 * A broker, a registry or both that are a test's own, by the ladder. Missing where the environment names a cluster or a
 * registry: such tests make, empty and remove topics, groups and schemas of common names, which others may use there.
 */
export async function own<T>(find: () => Promise<T | Missing>): Promise<T | Missing> {
  const variable = ['KAFKA_BROKERS', 'SCHEMA_REGISTRY_URL'].find(name => (process.env[name] ?? '') !== '')
  if (variable === undefined) return await find()
  return {
    missing: `NOT TESTED: ${variable} names what others use, and this test makes and removes topics of common names`,
  }
}
