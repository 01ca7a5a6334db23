// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright: hardshell.xen contributors
//
// Runs one scenario with the npm package xen-api: node xen_api.mjs <folder with node_modules> <url> <scenario>.
// Credentials come from LAB_USERNAME and LAB_PASSWORD. Facts go to standard output, one JSON object per line.
import assert from 'node:assert'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, url, scenario] = process.argv.slice(2)
const { Xapi } = await import(pathToFileURL(join(modules, 'node_modules/xen-api/index.mjs')))
const MIB = 2 ** 20

const tell = fact => process.stdout.write(JSON.stringify(fact) + '\n')

async function connected(options = {}) {
  const { LAB_USERNAME: user, LAB_PASSWORD: password } = process.env
  const xapi = new Xapi({ auth: { user, password }, debounce: 50, url, ...options })
  await xapi.connect()
  return xapi
}

// The cached object once a condition holds for it; the client's own events bring it up to date.
async function until(xapi, ref, condition) {
  for (;;) {
    const object = xapi.getObjectByRef(ref, undefined)
    if (condition(object)) {
      return object
    }
    await new Promise(resolve => xapi.objects.once('finish', resolve))
  }
}

async function newVm(xapi, name) {
  const template = Object.values(xapi.objects.all).find(
    ({ $type, name_label }) => $type === 'VM' && name_label === 'Debian Bookworm 12'
  )
  const ref = await xapi.callAsync('VM.clone', template.$ref, name)
  await xapi.call('VM.remove_from_other_config', ref, 'disks')
  await xapi.callAsync('VM.provision', ref)
  return until(xapi, ref, vm => vm !== undefined && !vm.is_a_template)
}

async function addDisk(xapi, vm, size) {
  const vdi = await newDisk(xapi, size)
  await xapi.call('VBD.create', {
    VM: vm.$ref, VDI: vdi, userdevice: '0', bootable: true, mode: 'RW', type: 'Disk', unpluggable: true, empty: false,
    other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {},
  })
  return vdi
}

function newDisk(xapi, size) {
  return xapi.call('VDI.create', {
    name_label: 'imported', name_description: '', SR: xapi.pool.default_SR, virtual_size: size, type: 'user',
    sharable: false, read_only: false, other_config: {}, sm_config: {}, xenstore_data: {}, tags: [],
  })
}

function image(size) {
  const chunks = Array.from({ length: size / MIB }, (_, number) => Buffer.alloc(MIB, number + 1))
  const sha256 = createHash('sha256').update(Buffer.concat(chunks)).digest('hex')
  return { sha256, stream: Readable.from(chunks) }
}

const scenarios = {
  async life(xapi) {
    await xapi.objectsFetched
    tell({ types: xapi._types.length, pool: xapi.pool.name_label, hosts: xapi.pool.$master.name_label })
    const vm = await newVm(xapi, 'made by xen-api')
    await vm.update_other_config('key', 'value')
    await vm.update_other_config({ key: 'another', second: 'one' })
    await vm.set_VCPUs_max(2)
    await vm.add_tags('tagged')
    const vdi = await addDisk(xapi, vm, 4 * MIB)
    await xapi.callAsync('VM.start', vm.$ref, false, false)
    const running = await until(xapi, vm.$ref, vm => vm.power_state === 'Running')
    tell({
      host: running.$resident_on.name_label, other: running.other_config.key, vcpus: running.VCPUs_max,
      tags: running.tags,
    })
    const refused = await xapi.callAsync('VM.start', vm.$ref, false, false).catch(error => error)
    tell({ code: refused.code, params: refused.params.slice(1) })
    await until(xapi, vm.$ref, vm => vm.$guest_metrics?.PV_drivers_detected === true)
    await xapi.callAsync('VM.clean_shutdown', vm.$ref)
    const halted = await xapi.barrier(vm.$ref)
    tell({ state: halted.power_state })
    await xapi.callAsync('VM.destroy', vm.$ref)
    await xapi.callAsync('VDI.destroy', vdi)
    await until(xapi, vm.$ref, vm => vm === undefined)
    await xapi.barrier()
    tell({ tasks: Object.values(xapi.objects.all).filter(({ $type }) => $type === 'task').length })
  },

  async expiry(xapi) {
    await xapi.objectsFetched
    // The client refuses calls while it logs in again, so let its event loop be the one that notices.
    const loggedIn = new Promise(resolve => xapi.once('sessionId', resolve))
    tell({ session: xapi.sessionId })
    await loggedIn
    await xapi.call('pool.set_name_label', xapi.pool.$ref, 'renamed after expiry')
    const pool = await until(xapi, xapi.pool.$ref, pool => pool.name_label === 'renamed after expiry')
    tell({ renamed: pool.name_label, session: xapi.sessionId })
  },

  async disk(xapi) {
    await xapi.objectsFetched
    const vdi = await newDisk(xapi, 4 * MIB)
    const { sha256, stream } = image(4 * MIB)
    stream.length = 4 * MIB
    const result = await xapi.putResource(stream, '/import_raw_vdi/', { query: { format: 'raw', vdi } })
    tell({ vdi, result, sha256 })
    const response = await xapi.getResource('/export_raw_vdi/', { query: { format: 'raw', vdi } })
    const exported = createHash('sha256')
    let size = 0
    for await (const chunk of response.body) {
      exported.update(chunk)
      size += chunk.length
    }
    await response.task
    tell({ size, sha256: exported.digest('hex') })
  },

  async disk_of_unknown_length(xapi) {
    await xapi.objectsFetched
    const vdi = await newDisk(xapi, 4 * MIB)
    const { sha256, stream } = image(2 * MIB)
    await xapi.putResource(stream, '/import_raw_vdi/', { query: { format: 'raw', vdi } })
    tell({ vdi, sha256 })
  },

  async disk_too_large(xapi) {
    await xapi.objectsFetched
    const vdi = await newDisk(xapi, 2 * MIB)
    const { stream } = image(4 * MIB)
    stream.length = 4 * MIB
    const error = await xapi.putResource(stream, '/import_raw_vdi/', { query: { format: 'raw', vdi } }).catch(e => e)
    tell({ code: error.code })
  },
}

if (scenario === 'wrong_password') {
  process.env.LAB_PASSWORD = 'wrong'
  const error = await connected({ watchEvents: false }).catch(error => error)
  tell({ code: error.code, params: error.params })
} else if (scenario === 'xml_rpc') {
  const xapi = await connected({ transport: 'xml-rpc', watchEvents: false })
  const records = await xapi.getAllRecords('VM')
  assert(records.every(({ uuid }) => uuid !== undefined))
  tell({ memory: typeof records[0].memory_static_max })
  await xapi.disconnect()
} else {
  const xapi = await connected()
  await scenarios[scenario](xapi)
  await xapi.disconnect()
}
process.exit(0)
