import assert from 'node:assert/strict'
import { cp, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { peftDirectory, type PeftDirectoryOptions } from '../../src/adapters/peft-directory.ts'
import { ConfigError } from '../../src/errors.ts'
import { adapterSourceContract, inShort, record, type SourceUnderTest } from '../contracts/adapter-source.ts'
import { loraConfig, loraTensors, smallBase, temporaryFolder, writeAdapter } from '../support/peft-files.ts'

/** Adapters are written beside the folder and moved in, as a deployment would do it; `in place` writes them where they are. */
async function folderSource(
  t: TestContext,
  how: 'moved' | 'in place',
  options: PeftDirectoryOptions = {},
): Promise<SourceUnderTest & { readonly folder: string }> {
  const [folder, aside] = [await temporaryFolder(t), await temporaryFolder(t)]
  const put = async (id: string, files: Parameters<typeof writeAdapter>[1]): Promise<void> => {
    const directory = join(folder, id)
    if (how === 'in place') {
      await writeAdapter(directory, files)
      return
    }
    const fresh = await writeAdapter(join(aside, `${id}-${Math.random()}`), files)
    await rename(directory, join(aside, `${id}-${Math.random()}`)).catch(() => undefined)
    await rename(fresh, directory)
  }
  return {
    folder,
    source: peftDirectory(folder, { settleMs: how === 'moved' ? 20 : 100, rescanMs: 50, ...options }),
    put: (id, version = 0, samples) =>
      put(id, { tensors: loraTensors(/[qv]_proj/, 2, version * 100), samples: samples ?? null }),
    putBroken: id => put(id, { tensors: loraTensors(/[qv]_proj/, 3) }),
    remove: id => rm(join(folder, id), { recursive: true }),
  }
}

adapterSourceContract('peftDirectory, moved', t => folderSource(t, 'moved'))
adapterSourceContract('peftDirectory, written in place', t => folderSource(t, 'in place'))
adapterSourceContract('peftDirectory, watching only', t => folderSource(t, 'in place', { rescanMs: 3_600_000 }))

test('a folder that is missing, or no folder, is a config error that names it', async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'file'), '')
  for (const name of ['nowhere', 'file']) {
    const { until } = record(peftDirectory(join(folder, name)), t)
    await assert.rejects(
      until(() => false),
      error => error instanceof ConfigError && error.message.includes(join(folder, name)),
    )
  }
})

test('files and hidden directories beside the adapters are ignored, a name that is no id is refused', async t => {
  const { source, folder, put } = await folderSource(t, 'in place')
  await writeFile(join(folder, 'README.md'), 'adapters')
  await mkdir(join(folder, '.cache'))
  await mkdir(join(folder, 'empty'))
  await put('good')
  await put('bad name')
  await put('.dotted')
  const { changes, until } = record(source, t)
  await until(list => list.at(-1)?.type === 'caught-up')
  assert.deepEqual(changes.map(inShort), [
    'added .dotted',
    'refused bad name',
    'refused empty',
    'added good',
    'caught-up',
  ])
  assert.match(JSON.stringify(changes[1]), /expected 1 to 128 of A-Z/)
  assert.match(JSON.stringify(changes[2]), /empty\/adapter_config\.json: not found/)
})

test('an adapter may be a link to a directory elsewhere', async t => {
  const { source, folder } = await folderSource(t, 'in place')
  await symlink(await writeAdapter(join(await temporaryFolder(t), 'real')), join(folder, 'linked'))
  const { changes, until } = record(source, t)
  await until(list => list.at(-1)?.type === 'caught-up')
  assert.deepEqual(changes.map(inShort), ['added linked', 'caught-up'])
})

test('with the modules of the base an adapter for another base is refused', async t => {
  const other = new Map([...smallBase].filter(([name]) => name.includes('layers.0')))
  for (const modules of [other, Promise.resolve(other), (): typeof other => other, () => Promise.resolve(other)]) {
    const { source, put } = await folderSource(t, 'in place', { modules })
    await put('one')
    const { changes, until } = record(source, t)
    await until(list => list.at(-1)?.type === 'caught-up')
    assert.deepEqual(changes.map(inShort), ['refused one', 'caught-up'])
    assert.match(JSON.stringify(changes[0]), /is no linear module of the base model/)
  }
})

test('when the modules of the base cannot be had, that is the error of the source', async t => {
  const { source } = await folderSource(t, 'in place', { modules: () => Promise.reject(new ConfigError('no base')) })
  await assert.rejects(
    record(source, t).until(() => false),
    /no base/,
  )
})

test('an adapter that is copied in piece by piece ends up admitted', async t => {
  const { source, folder } = await folderSource(t, 'in place')
  const { changes, until } = record(source, t)
  await until(list => list.at(-1)?.type === 'caught-up')
  const whole = await writeAdapter(join(await temporaryFolder(t), 'whole'), { samples: ['a'] })
  const slow = join(folder, 'slow')
  await mkdir(slow)
  await until(list => list.some(change => inShort(change) === 'refused slow'))
  await writeFile(join(slow, 'adapter_config.json'), '{"r": ')
  await cp(join(whole, 'adapter_model.safetensors'), join(slow, 'adapter_model.safetensors'))
  await cp(join(whole, 'samples.jsonl'), join(slow, 'samples.jsonl'))
  await writeFile(join(slow, 'adapter_config.json'), JSON.stringify(loraConfig()))
  await until(list => inShort(list.at(-1) ?? { type: 'caught-up' }) === 'added slow')
  assert.equal(changes.filter(change => change.type === 'added').length, 1)
})

test('touched files with the same bytes are no change', async t => {
  const { source, folder, put } = await folderSource(t, 'in place')
  await put('one', 1, ['a'])
  const { changes, until } = record(source, t)
  await until(list => list.at(-1)?.type === 'caught-up')
  await utimes(join(folder, 'one', 'adapter_model.safetensors'), 1, 1)
  await writeFile(join(folder, 'one', 'notes.txt'), 'nothing to us')
  // What is touched together is looked at in the order of names.
  await put('two')
  await until(list => inShort(list.at(-1) ?? { type: 'caught-up' }) === 'added two')
  assert.deepEqual(changes.map(inShort), ['added one', 'caught-up', 'added two'])
})

test('a folder that goes away takes its adapters along, and brings them back', async t => {
  const { source, folder, put } = await folderSource(t, 'in place')
  await put('one')
  const { changes, until } = record(source, t)
  await until(list => list.at(-1)?.type === 'caught-up')
  await rename(folder, `${folder}-away`)
  await until(list => list.some(change => change.type === 'removed'))
  await rename(`${folder}-away`, folder)
  await until(list => list.filter(change => change.type === 'added').length === 2)
  assert.deepEqual(changes.map(inShort), ['added one', 'caught-up', 'removed one', 'added one'])
})

test('admission keeps the event loop turning', async t => {
  const { source, folder } = await folderSource(t, 'in place')
  for (let index = 0; index < 40; index += 1) await writeAdapter(join(folder, `adapter-${index}`))
  const { until } = record(source, t)
  let turns = 0
  const counting = setInterval(() => (turns += 1), 0)
  await until(list => list.at(-1)?.type === 'caught-up')
  clearInterval(counting)
  assert.ok(turns >= 40, `${turns} turns of the event loop while 40 adapters were admitted`)
})
