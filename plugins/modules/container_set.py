#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_set
short_description: Deploy the linked containers of a tenant's VM as one thing
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Makes a set of cooperating containers on one Docker Engine what the task says, all of it or nothing.
  - The new containers are made beside the running old ones, which are stopped only when all is ready. When a member does not start or does not become healthy,
    the old set runs again and the task fails with the member's state, exit code and last log lines. Data in volumes is not turned back.
  - What is asked for is compared with what the engine reports, so that a change made by hand is seen and mended, and nothing is recreated that need not be.
    Limits and the restart policy are changed in place, network connections are mended in place; whatever else differs replaces that one container.
  - A run that was killed is finished or taken back by the next one.
  - Only what carries this set's labels is changed or removed, unless O(adopt=true) takes over what carries none.
    An engine or a set that carries another tenant's mark is refused.
  - Containers are called C(SET_MEMBER), so are networks; volumes are called C(SET_VOLUME).
extends_documentation_fragment:
  - hardshell.xen.docker
  - hardshell.xen.attributes
  - hardshell.xen.attributes.idempotent
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_docker
options:
  name:
    description:
      - Name of the set. Lower-case letters, digits and dashes (a DNS label).
    type: str
    required: true
  tenant:
    description:
      - The tenant the set belongs to (a DNS label). Every container, network and volume carries it as the label C(hardshell.tenant).
    type: str
    required: true
  state:
    description:
      - V(present) makes the set run as defined. V(absent) removes its containers and networks, and its volumes when O(remove_volumes=true).
    type: str
    choices: [present, absent]
    default: present
  containers:
    description:
      - The members of the set, by name. Lower-case letters, digits, dashes and underscores.
      - Exactly one of O(containers), O(compose_file) and O(compose) is required when O(state=present).
        An unknown key is refused with the nearest known one.
      - C(image) (required) is the image to run, by tag, digest or id. Members are compared by the id that the reference stands for, so that a moved
        tag is a change.
      - C(command) and C(entrypoint) are lists, or strings that are split as a shell would.
      - C(environment) is a mapping. Its values are never shown in a diff or a result, but whoever may inspect the container sees them.
        C(env_file) is a path on the controller, or a list of them, of files with a C(NAME=value) on each line, taken as it is. Later files take precedence
        over earlier ones, and C(environment) over all.
      - C(links) is a list of members that this one may reach, as C(db) or, under another name for this consumer alone, C(db:database).
        A link gives name resolution and permission to talk, and its provider is started, and healthy, first. Cycles are refused.
      - C(networks), with O(network=declared), is a list of the networks that this member is in, or a mapping of them to lists of further names that it
        has there, or to C(aliases), C(mac_address), C(ipv4_address) and C(ipv6_address), for which O(networks) gives that network a subnet.
      - C(network_mode) is V(none) for a member without any network, V(host) for one in the VM's own, which gives a warning and a finding, or C(service:NAME)
        for one that is in the network of another member. The two then have one
        address, reach each other as localhost, and are linked to and published as that other member. C(ipc_mode) and C(pid_mode) take C(service:NAME) too; for
        C(ipc_mode) the other member has C(shareable). Who shares a namespace is started after the other member, and replaced with it.
      - C(follows) is a list of members that this one links to. When one of them is replaced, or is started again by this task, this one is replaced too; else
        it stays as it is, and finds the new container under the same name.
      - C(mac_address) is the address of the member's own network; with O(network=declared) it stands at one of several networks. The engine keeps one
        address of a container, in the network that it is made in.
      - C(pull) is as O(pull), for this member's image. When members differ over one image, V(always) counts before V(missing), and V(missing) before V(never).
      - C(annotations) is a mapping that the engine hands to the container's runtime. An engine before API 1.43 (Docker Engine 24) does not know it, and
        the task is refused.
      - C(ports) is a list of published ports, as C(8080:80), C(127.0.0.1:53:53/udp), C(8000-8010:80-90). Put them in quotes, and C(user) too where it is
        C(33:33), since YAML makes one number of two with a colon between.
      - C(volumes) is a list, as C(data:/data) for a named volume of the set, C(/srv/data:/data:ro) for a directory of the VM.
        An entry can be a mapping of C(source), C(target) and C(modes) too, with C(subpath) for one directory of a volume (Docker Engine 26 or later)
        or C(create_host_path) (V(false) refuses a directory of the VM that is missing, which the engine would make).
        The engine's own socket, and a directory that it is below such as C(/run), is refused unless C(engine_socket) is true.
      - C(files) is a mapping of absolute paths in the container to C(content) (text), or C(content_base64) for what is no text, C(uid), C(gid)
        and C(mode) (C("0444") unless told otherwise).
        They are there before the container starts, and C(docker inspect) does not show what is in them.
      - C(one_shot) is for a member that does one job and ends, such as a migration. It is ready when it has ended with exit code 0, and what links to it
        starts then. It runs again when its definition or image changes. C(restart) is C(no) unless told otherwise, or C(on-failure:3).
      - C(replicas) is how many containers there are of this member, 1 unless told otherwise. Two or more are called C(MEMBER-1), C(MEMBER-2) and so on,
        and consumers find all of them under the member's name. They cannot publish fixed host ports. What is more than the number is removed as an orphan.
      - C(tmpfs) is a list of paths, each with mount options if need be, as C(/run:size=16m).
      - C(user), C(group_add), C(working_dir), C(hostname), C(domainname), C(labels), C(init), C(stop_signal), C(stop_grace_period),
        C(extra_hosts) (mapping of name to address), C(dns), C(dns_search), C(dns_opt), C(runtime) are what they are for C(docker run).
      - C(healthcheck) is a mapping of C(test) (a list that begins with C(CMD) or C(CMD-SHELL), or a string for the shell, or V(none) to switch the
        image's off), C(interval), C(timeout), C(start_period), C(start_interval)
        (durations such as C(500ms), C(2s), C(1m30s)) and C(retries).
      - C(restart) is C(no), C(on-failure), C(on-failure:5), C(always) or C(unless-stopped), the default.
      - C(memory), C(memory_swap), C(memory_reservation), C(shm_size) are sizes such as C(512MiB) or C(2g) (binary units), C(cpus) a number of cores,
        C(cpu_shares) a weight, C(pids_limit) a number.
      - >-
        C(blkio) is a mapping of C(weight) (10 to 1000), and of C(device_read_bps), C(device_write_bps), C(device_read_iops) and C(device_write_iops), each a
        mapping of devices of the VM to a limit for a second, as C({device_write_bps: {/dev/xvdb: 10MiB}}). A limit that the VM's kernel cannot
        keep fails the task.
      - C(ipc_mode) is C(private), C(shareable), C(none) or C(host); C(pid_mode), C(uts_mode) and C(userns_mode) can be C(host),
        C(cgroupns_mode) is C(private) or C(host). Asking for the VM's own
        gives a warning. Unless told otherwise they are the engine's choice, and the container's own. C(userns_mode) matters on an engine that
        maps users (C(userns-remap)) only.
      - >-
        C(ulimits) is a mapping such as C({nofile: 1024}) or C({nofile: {soft: 1024, hard: 4096}}), C(sysctls) a mapping, C(devices) a list such as
        C(/dev/fuse:/dev/fuse:rw), C(device_cgroup_rules) a list such as C(c 189:* rmw).
      - >-
        C(device_requests) is a list of devices that are asked for by what they can do, as C([{capabilities: [gpu]}]): mappings of C(capabilities), C(count)
        (C(all) unless told otherwise) or C(device_ids), C(driver) and C(options). The VM needs the device and the runtime's support for it.
      - C(read_only) makes the root file system read-only.
      - C(cap_add), C(cap_drop) change the capabilities. Unless told otherwise a container has CHOWN, DAC_OVERRIDE, FOWNER, KILL, NET_BIND_SERVICE,
        SETGID and SETUID, which is
        what the usual images need to prepare their directories and then drop their rights, and not the rest of the engine's default.
        C(cap_drop) of C(ALL) leaves only what C(cap_add) names.
      - C(no_new_privileges) is true unless told otherwise. C(privileged) is false; asking for it gives a warning. C(security_opt) takes further
        options such as C(seccomp=...) and C(apparmor=...).
      - C(log) is a mapping of C(driver) and C(options).
    type: dict
  compose_file:
    description:
      - Paths of Compose files on the controller, each over those before it, as another definition of the members.
      - What of the Compose Specification is supported works as it says; what is not is refused by the path of its key, before anything is changed.
        C(docs/COMPOSE.md) of the collection goes through the keys one by one.
      - The services become members. C(restart) is C(no) unless the file says otherwise, as in Compose.
    type: list
    elements: path
  compose:
    description:
      - A Compose document, instead of files. Relative paths in it are refused.
    type: dict
  compose_environment:
    description:
      - The variables that the Compose files may name, over those of O(compose_env_files). The environment of the controller's own process is not read.
    type: dict
  compose_env_files:
    description:
      - Paths of files on the controller that set variables for the Compose files, the later over the earlier. Without this option it is the file C(.env)
        beside the first Compose file, where there is one.
    type: list
    elements: path
  compose_engine_socket:
    description:
      - The services of the Compose files that may hold the engine's own socket. It is refused for every other one, and gives a warning and a finding for these.
    type: list
    elements: str
  compose_profiles:
    description:
      - The profiles whose services are enabled. V(*) enables all. Without this option they are those that the variable C(COMPOSE_PROFILES) names.
    type: list
    elements: str
  images:
    description:
      - Images that are loaded into the engine from archives on the controller, before anything else. An archive is sent only when the engine does not
        hold the very image under that name.
    type: list
    elements: dict
    default: []
    suboptions:
      archive:
        description: Path of an archive as C(docker save) writes it, compressed or not.
        type: path
        required: true
      image:
        description: The image in the archive, as C(name:tag). It must be what a container of the set names.
        type: str
        required: true
  registries:
    description:
      - Credentials for the private registries that images are pulled from. They go to the engine with the requests that need them; nothing is written
        to a disk, on the controller or in the VM.
      - A registry whose certificate is signed by an authority of your own needs that authority on the engine's machine, where the engine looks for it
        (C(/etc/docker/certs.d/REGISTRY/ca.crt)), since it is the engine that pulls. The role P(hardshell.xen.container_host#role) puts it there, with
        C(container_host_registry_cas).
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry as the names of its images begin, such as C(registry.example:5000), or C(docker.io).
        type: str
        required: true
      username:
        description: Who to be there.
        type: str
        required: true
      password:
        description: The password, or an access token in its place.
        type: str
        required: true
  pull:
    description:
      - Whether images come from their registry. V(missing) pulls what the engine does not hold, V(always) asks the registry each time, V(never)
        refuses what the engine does not hold.
      - All images are there before any container is touched.
      - Without this option it is what the Compose files say, or V(missing).
    type: str
    choices: [missing, always, never]
  network:
    description:
      - V(per-link) gives each member a network of its own, which its consumers join. Members without a link between them cannot resolve each other.
        Consumers of one provider meet on its network.
      - V(flat) puts all members into one network under their names.
      - V(declared) puts each member into the networks that it names in C(networks). Members that share a network reach each other there under their names.
        Links order the start, and give private aliases, only.
      - Without this option it is V(per-link), or, for Compose files, V(flat) when they have one network and V(declared) when they have several.
        For Compose files V(per-link) leaves each service what it depends on or links to, whatever their networks.
    type: str
    choices: [per-link, flat, declared]
  update_order:
    description:
      - V(stop-first) stops the old containers of the members that are replaced, consumers first, and then starts the new ones, providers first.
      - V(start-first) replaces one member after another, each once its providers are. A member that publishes no fixed host port, writes to no volume or
        directory of the VM and holds no device is replaced without a gap. Its new container runs beside the old one until it is ready, then takes over its
        name, and then the old one is stopped; requests that the old one is working on at that moment are cut off. Any other is stopped before its
        new container starts. The change's C(reason) says which it is, and why.
        A member without a gap is seen with O(network=per-link) only, where the name by which consumers know it can be given last.
      - The old containers are kept until all of the new set is ready, either way, and brought back when a member fails.
    type: str
    choices: [stop-first, start-first]
    default: stop-first
  recreate:
    description:
      - V(when_changed) replaces the containers that differ in what cannot be changed in place. V(always) replaces every container.
        V(never) fails when a container would have to be replaced.
    type: str
    choices: [when_changed, always, never]
    default: when_changed
  remove_orphans:
    description:
      - Whether members that the definition no longer holds are removed.
    type: bool
    default: true
  remove_volumes:
    description:
      - With O(state=absent), remove the set's named volumes and the data in them.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long the new containers may take, all together, to start and to become healthy, in seconds. A member without a health check counts as
        ready when it has run for two seconds.
    type: int
    default: 300
  fate:
    description:
      - What a failure of one member at run time means. V(independent) leaves it to the restart policy of that member alone. V(shared) takes the whole set
        through O(fate_reaction).
      - A member fails when it ends with an error and the engine does not start it again, when it keeps ending (five times within ten minutes), when it
        cannot be started, or when it is unhealthy. What somebody stops on purpose has not failed, and a deploy that is under way is left alone.
      - The containers carry it as a label, which the engine can change only by replacing them. The service that acts on it is installed in the VM by
        P(hardshell.xen.container_host#role); without it V(shared) does nothing.
    type: str
    choices: [shared, independent]
    default: independent
  fate_reaction:
    description:
      - With O(fate=shared), what happens to the set. V(restart) stops it, consumers first, and starts it again, providers first, each once what it links to
        is healthy; again and again, ever later up to five minutes. V(stop) stops it, consumers first, until the next deploy.
        V(stop_vm) powers the VM off, so that the pool's high availability starts it again where it can.
      - Without this option it is V(restart).
    type: str
    choices: [restart, stop, stop_vm]
  volumes:
    description:
      - The named volumes that are no plain ones, or called otherwise on the engine than C(SET_VOLUME), by the name under which O(containers) mount them.
        C(name) is what
        the engine calls the volume. C(external), which is false unless it is written, says that the volume is there already. Such a volume is used, and
        neither made nor removed; a task that names one that is not there is refused.
      - C(driver_opts) says what the engine mounts as the volume, as C(docker volume create) with the driver C(local) does, by C(type), C(device), C(o) (the
        flags of the mount) and C(size). The engine mounts it when a container starts. It changes no option of a volume that is there, so that other ones are
        refused. Values may hold a password; they are not shown, but whoever may use the engine can read them there.
      - In Compose files it is C(name), C(external) and C(driver_opts) of a volume.
    type: dict
  networks:
    description:
      - The networks that are no plain bridges, or not called C(SET_NETWORK) on the engine, by the name under which O(containers) join them. It goes with
        O(network=declared).
      - C(external), which is false unless it is written, says that the network is there already. The set joins it under its members' names, and neither makes
        nor removes it. C(name) is what the engine calls the network.
      - C(internal) is for a network without a way out, C(enable_ipv6) for one that has addresses of version 6 too, C(driver_opts) a mapping of the bridge
        driver's options, and C(ipam_config) a list of C(subnet), C(ip_range), C(gateway) and C(aux_addresses).
      - The engine cannot change the options of a network that is there. So a network with options is called after a digest of them too, and with others the
        members that are in it are moved to a new one, all or nothing as in any update. One with a C(name) keeps it, and the change of its options is refused,
        as is one that leaves the subnet as it was, since the engine holds no two networks with one subnet.
    type: dict
  adopt:
    description:
      - Take over containers that were made by other means and carry no mark of any set. Of a project of Compose that is called as the set they are those of the
        services that members are named after, replicas by their number; of all other containers those that are called as a member, or C(SET_MEMBER). Whatever
        is not a letter or a digit counts as a dash in these names.
      - Since the engine sets no labels afterwards, a container that is adopted is replaced by one of the set's own, in the set's networks, all or nothing as in
        any update; when a new member fails, the old containers run again under their old names. The change's C(reason) says so, and C(diff) what
        becomes different. M(hardshell.xen.container_set_info) with C(definition) tells the definition by which nothing else does.
      - Volumes keep their names and their data. A definition that would leave the volume of an adopted container behind is refused. Networks and
        volumes that were there before the set stay when it is removed.
      - Once adopted, the option has no effect. Without it, a container whose name is in the way is refused.
    type: bool
    default: false
  assume_empty_engine:
    description:
      - In check mode, plan for an engine that holds nothing and speak to none. For a VM that the same run would make, and that is not there yet.
      - Refused outside check mode.
    type: bool
    default: false
seealso:
  - module: hardshell.xen.container_set_info
"""

EXAMPLES = r"""
- name: Deploy the shop
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    docker_ssh_host_key: "{{ vm_host_key }}"
    tenant: acme
    name: shop
    fate: shared
    containers:
      web:
        image: shop-web:1.4
        links: [api]
        ports: ["8080:80"]
      api:
        image: shop-api:1.4
        links: ["db:database"]
        memory: 256MiB
      db:
        image: redis:7
        volumes: ["data:/data"]
        healthcheck:
          test: [CMD, redis-cli, ping]
          interval: 2s

- name: Deploy with a volume that is a share of NFS
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: files
    containers:
      web:
        image: shop-web:1.4
        volumes: ["uploads:/srv/uploads"]
    volumes:
      uploads:
        driver_opts:
          type: nfs
          device: ":/export/uploads"
          o: addr=10.0.210.5,nfsvers=4.2,rw

- name: Deploy from archives on the controller, without a registry
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    pull: never
    images:
      - archive: images/shop-web.tar
        image: shop-web:1.4
    containers:
      web:
        image: shop-web:1.4
        ports: ["8080:80"]

- name: Deploy from a private registry
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    registries:
      - registry: registry.example:5000
        username: acme
        password: "{{ vault_registry_password }}"
    containers:
      web:
        image: registry.example:5000/shop/web:1.4

- name: Deploy what a Compose file describes
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    compose_file: [shop/compose.yaml, shop/compose.production.yaml]
    compose_profiles: [metrics]
    compose_environment:
      TAG: "1.4"

- name: Take over what docker compose has made, with its data
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    adopt: true
    compose_file: [shop/compose.yaml]

- name: Take over single containers, and a volume under its own name
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    adopt: true
    volumes:
      data: {name: pgdata, external: true}
    containers:
      db:
        image: postgres:17
        volumes: ["data:/var/lib/postgresql/data"]

- name: Remove the set and its data
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    state: absent
    remove_volumes: true
"""

RETURN = r"""
container_set:
  description: The set as it is after the task, or as it would be in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the set.
      type: str
    tenant:
      description: Its tenant.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    network:
      description: V(per-link), V(flat) or V(declared).
      type: str
    fate:
      description: C(independent), or C(shared) and the reaction, as C(shared, restart).
      type: str
    members:
      description:
        - The members by name. C(image_digest) is empty for an image that came from no registry; C(seconds) is how long a member that was started took to be
          ready. What only the engine can know of a container that check mode has not made (C(id), C(addresses)) is empty.
      type: dict
      sample:
        web:
          id: 5f1c2a...
          container: shop_web
          image: shop-web:1.4
          image_id: sha256:9b1d...
          image_digest: sha256:0c2f...
          state: running
          health: healthy
          addresses: {shop_web: 172.18.0.2}
          ports: ["8080:80/tcp"]
          links: ["api"]
          volumes: []
          memory: 268435456
          cpus: 0.5
          seconds: 1.3
engine:
  description:
    - The engine and all of its containers after the task, or as they would be in check mode, as RV(hardshell.xen.container_set_info#module:engine).
      C(Id) and C(Created) of a container that check mode has not made are empty.
    - C(info) and C(version) are there when something changes, since an unchanged set is told from as few requests as possible.
  returned: success
  type: dict
changes:
  description: What was done, or would be in check mode, in order, each with its reason.
  returned: success
  type: list
  elements: dict
  sample:
    - action: replace
      kind: container
      name: web
      before: {image: "shop-web:1.3"}
      after: {image: "shop-web:1.4"}
      reason: image differs
findings:
  description:
    - What opens the VM to a container of the set, or a container to others, as far as options say it, the gravest first. Privileged mode, namespaces of the VM,
      the engine's socket, disks of the VM, added capabilities, protection that is taken away, data stores published on every address.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: What kind of finding it is., type: str, returned: success, sample: engine-socket}
    severity: {description: 'V(high), V(medium) or V(low).', type: str, returned: success}
    tenant: {description: Whose it is., type: str, returned: success}
    where: {description: "The container, or the engine.", type: str, returned: success, sample: container shop_web}
    what: {description: What is so., type: str, returned: success}
    mend: {description: How to mend it., type: str, returned: success}
member:
  description: What is known of the member that failed (C(name), C(state), C(exit_code), C(health_output), C(log)).
  returned: when a member did not start or did not become healthy
  type: dict
journal:
  description: What was done and taken back.
  returned: when a deploy failed
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.hardshell.xen.plugins.module_utils._engine.for_log import parameters_for_log
from ansible_collections.hardshell.xen.plugins.module_utils._engine.transport import TRANSPORT_ARGUMENTS, connect
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._module import Context, ModuleDefinition, run_as_module


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.converge import converge
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.empty_engine import EmptyEngine

    spec = parse_task(parameters)
    if parameters["assume_empty_engine"]:
        if not context.check_mode:
            raise OptionError("assume_empty_engine", True, "it is for check mode only")
        return converge(EmptyEngine(parameters["docker_host"]), spec, context)
    with connect(parameters, warn=context.warn) as engine:
        return converge(engine, spec, context)


DEFINITION = ModuleDefinition(
    argument_spec={
        **TRANSPORT_ARGUMENTS,
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "containers": {"type": "dict"},
        "compose_file": {"type": "list", "elements": "path"},
        "compose": {"type": "dict"},
        "compose_environment": {"type": "dict"},
        "compose_env_files": {"type": "list", "elements": "path"},
        "compose_engine_socket": {"type": "list", "elements": "str"},
        "compose_profiles": {"type": "list", "elements": "str"},
        "images": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "archive": {"type": "path", "required": True},
                "image": {"type": "str", "required": True},
            },
        },
        "registries": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "registry": {"type": "str", "required": True},
                "username": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
            },
        },
        "pull": {"type": "str", "choices": ["missing", "always", "never"]},
        "network": {"type": "str", "choices": ["per-link", "flat", "declared"]},
        "update_order": {"type": "str", "choices": ["stop-first", "start-first"], "default": "stop-first"},
        "recreate": {"type": "str", "choices": ["when_changed", "always", "never"], "default": "when_changed"},
        "remove_orphans": {"type": "bool", "default": True},
        "remove_volumes": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 300},
        "volumes": {"type": "dict"},
        "networks": {"type": "dict"},
        "adopt": {"type": "bool", "default": False},
        "fate": {"type": "str", "choices": ["shared", "independent"], "default": "independent"},
        "fate_reaction": {"type": "str", "choices": ["restart", "stop", "stop_vm"]},
        "assume_empty_engine": {"type": "bool", "default": False},
    },
    mutually_exclusive=[["containers", "compose_file", "compose"]],
    required_if=[["state", "present", ["containers", "compose_file", "compose"], True]],
    run=run,
    for_log=parameters_for_log,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
