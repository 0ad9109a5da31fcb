-- Every statement the provider executes, by name. With `-- rows: a integer, b text`, `{rows}` is a
-- table `rows` of the values handed over; `$1` are single values; `{hub}` is the number of the hub. A
-- query that reads many rows answers with one JSON document, as the other dialects do.

-- ---- transactions ------------------------------------------------------------------------------

-- name: lock_hub
select pg_advisory_xact_lock($1::bigint), pg_current_xact_id()::text

-- name: share_hub
select pg_advisory_xact_lock_shared($1::bigint), pg_current_xact_id()::text

-- name: end_idle_holders
-- Those that wait for their client: between statements, or amid a pipeline, which counts as active.
select pg_terminate_backend(a.pid)
from pg_locks l join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint
  and a.wait_event_type = 'Client'
  and a.state_change + make_interval(secs => $2::integer / 1000.0) < clock_timestamp()

-- name: transaction_status
select pg_xact_status($1::text::xid8)

-- name: begin_change
savepoint change

-- name: undo_change
rollback to savepoint change

-- name: end_change
release savepoint change

-- name: concerns
select
    (select coalesce(sum(epoch), 0)::bigint from partitions where hub = {hub} and holder = $1),
    (select coalesce(max(offer), 0) from activities where hub = {hub} and offered is not null),
    (select string_agg(number::text || (functions = '[]')::text, ',' order by number)
     from hosts where hub = {hub}),
    (select string_agg(partition::text || ':' || epoch::text, ',' order by partition)
     from partitions where hub = {hub} and holder is null),
    exists (
        select 1 from messages
        where hub = {hub} and delivered_epoch = 0
          and partition in (select partition from partitions where hub = {hub} and holder = $1))

-- name: ring
select pg_notify($1::text, '')

-- ---- the hub -----------------------------------------------------------------------------------

-- name: has_hubs
select to_regclass('schema_version') is not null

-- name: schema_version
select version from schema_version

-- name: hub
select number from hubs where name = $1::text

-- name: insert_hub
insert into hubs (name, partition_count) values ($1::text, $2::integer)
on conflict (name) do nothing

-- name: partition_count
select partition_count from hubs where number = {hub}

-- name: insert_partitions
-- rows: partition integer
insert into partitions (hub, partition, holder, epoch, commit_number)
select {hub}, partition, null, 0, 0 from {rows}
on conflict (hub, partition) do nothing

-- name: delete_hub_origins
delete from origins where number in (select number from instances where hub = {hub})

-- name: delete_hub_history
delete from history where number in (select number from instances where hub = {hub})

-- name: delete_hub_instances
delete from instances where hub = {hub}

-- name: delete_hub_messages
delete from messages where hub = {hub}

-- name: delete_hub_timers
delete from timers where hub = {hub}

-- name: delete_hub_activities
delete from activities where hub = {hub}

-- name: delete_hub_records
delete from records where hub = {hub}

-- name: delete_hub_record_holds
delete from record_holds where hub = {hub}

-- name: delete_hub_partitions
delete from partitions where hub = {hub}

-- name: delete_hub_hosts
delete from hosts where hub = {hub}

-- name: delete_hub
delete from hubs where number = {hub}

-- ---- hosts and partitions ----------------------------------------------------------------------

-- name: hosts
select coalesce(json_agg(json_build_array(host_id, boot_id, started_at, functions)
                         order by started_at, host_id), '[]')::text
from hosts where hub = {hub}

-- name: insert_host
insert into hosts (hub, host_id, boot_id, started_at, functions, lease_ms)
values ({hub}, $1::text, $2::text, $3::bigint, $4::text, $5::integer)
on conflict (host_id) do update set renewed_at = clock_timestamp()

-- name: renew_host
update hosts set renewed_at = clock_timestamp() where hub = {hub} and host_id = $1::text

-- name: host_is_alive
-- While the server was down nobody could give a sign of life.
select exists (
    select 1 from hosts
    where hub = {hub} and host_id = $1::text
      and greatest(renewed_at, pg_postmaster_start_time())
          + make_interval(secs => lease_ms / 1000.0) > clock_timestamp())

-- name: host_alive_until
select (extract(epoch from greatest(renewed_at, pg_postmaster_start_time())
                           + make_interval(secs => lease_ms / 1000.0)) * 1000000)::bigint
from hosts where hub = {hub} and host_id = $1::text

-- name: host_number
select number from hosts where host_id = $1::text

-- name: publish
update hosts set functions = $1::text where hub = {hub} and host_id = $2::text

-- name: delete_host
delete from hosts where hub = {hub} and host_id = $1::text

-- name: held_partitions
select coalesce(json_agg(json_build_array(partition, epoch)), '[]')::text
from partitions where hub = {hub} and holder = $1::text

-- name: holders
select coalesce(json_agg(holder), '[]')::text from partitions
where hub = {hub} and holder is not null
  and partition in (select json_array_elements_text($1::json)::integer)

-- name: acquire_partition
update partitions set holder = $1::text, epoch = epoch + 1
where hub = {hub} and partition = $2::integer
  and (holder is null or holder not in (select host_id from hosts where hub = {hub}))

-- name: lease
select holder, epoch from partitions where hub = {hub} and partition = $1::integer

-- name: release_partition
update partitions set holder = null
where hub = {hub} and partition = $1::integer and epoch = $2::bigint and holder = $3::text

-- name: release_all_partitions
update partitions set holder = null where hub = {hub} and holder = $1::text

-- name: fence_partitions
-- rows: partition integer, epoch bigint, holder text
update partitions set commit_number = commit_number + 1
from {rows}
where partitions.hub = {hub}
  and partitions.partition = rows.partition
  and partitions.epoch = rows.epoch
  and partitions.holder = rows.holder

-- ---- instances ---------------------------------------------------------------------------------

-- name: insert_instances
-- rows: number bigint, instance_id text, execution_id text, turns bigint, history_length integer, is_entity boolean, created_at bigint, status text, progress text, large_output text
-- In the order of ids: two hosts that insert some of the same ones wait, but not for each other.
insert into instances (
    hub, number, instance_id, execution_id, turns, history_length, is_entity, created_at, status,
    progress, large_output)
select
    {hub}, number, instance_id, execution_id, turns, history_length, is_entity, created_at, status,
    progress, large_output
from {rows}
order by instance_id collate "C"
on conflict (hub, instance_id) do nothing

-- name: update_instances
-- rows: number bigint, fence_turns bigint, execution_id text, history_length integer, status text, progress text, large_output text
update instances set
    execution_id = rows.execution_id,
    turns = turns + 1,
    history_length = rows.history_length,
    status = rows.status,
    progress = rows.progress,
    large_output = rows.large_output
from {rows}
where instances.number = rows.number
  and instances.turns = rows.fence_turns

-- name: upsert_origins
-- rows: number bigint, body text, large_input text
insert into origins (number, body, large_input)
select number, body, large_input from {rows}
on conflict (number) do update set body = excluded.body, large_input = excluded.large_input

-- name: instance_status
select number, execution_id, status from instances where hub = {hub} and instance_id = $1::text

-- name: instance
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output
from instances i join origins o on o.number = i.number
where i.hub = {hub} and i.instance_id = $1::text

-- name: instance_with_history
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output,
       (select coalesce(json_agg(page.body order by page.first_event), '[]')::text
        from (
            select h.first_event, h.body,
                   sum(octet_length(h.body)) over (order by h.first_event) - octet_length(h.body)
                       as before
            from history h
            where h.number = i.number and h.first_event >= $2::integer
            order by h.first_event
            limit 4096) page
        where page.before < $3::bigint)
from instances i join origins o on o.number = i.number
where i.hub = {hub} and i.instance_id = $1::text

-- name: query_instances
select coalesce(json_agg(json_build_array(
    number, instance_id, execution_id, turns, history_length, created_at, status, progress, body,
    large_input, large_output)
    order by created_at, instance_id), '[]')::text
from (
    select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at,
           i.status, i.progress, o.body, case when $9::integer = 1 then o.large_input end as large_input,
           case when $10::integer = 1 then i.large_output end as large_output
    from instances i join origins o on o.number = i.number
    where i.hub = {hub} and i.is_entity = $1::boolean
      and i.created_at >= $2::bigint and i.created_at <= $3::bigint
      and (i.created_at, i.instance_id) > ($4::bigint, $5::text)
      and ($6::text = '' or starts_with(i.instance_id, $6::text))
      and ($7::text = '' or i.status in (
          select json_array_elements_text(nullif($7::text, '')::json)))
    order by i.created_at, i.instance_id
    limit $8::bigint) page

-- name: delete_instance
delete from instances where number = $1::bigint

-- name: delete_origin
delete from origins where number = $1::bigint

-- name: delete_history
delete from history where number = $1::bigint

-- name: delete_messages_of_instance
delete from messages where hub = {hub} and instance_id = $1::text

-- name: delete_timers_of_instance
delete from timers where number = $1::bigint

-- name: delete_activities_of_instance
delete from activities where number = $1::bigint

-- ---- history -----------------------------------------------------------------------------------

-- name: history_page
select i.number, i.execution_id, i.turns, i.history_length,
       (select coalesce(json_agg(page.body order by page.first_event), '[]')::text
        from (
            select h.first_event, h.body,
                   sum(octet_length(h.body)) over (order by h.first_event) - octet_length(h.body)
                       as before
            from history h
            where h.number = i.number and h.first_event >= $2::integer
            order by h.first_event
            limit 4096) page
        where page.before < $3::bigint)
from instances i
where i.hub = {hub} and i.instance_id = $1::text

-- name: delete_histories
-- rows: number bigint
delete from history where number in (select number from {rows})

-- name: insert_history
-- rows: number bigint, first_event integer, body text
insert into history (number, first_event, body) select number, first_event, body from {rows}

-- ---- messages ----------------------------------------------------------------------------------

-- name: insert_messages
-- rows: id text, partition integer, instance_id text, execution_id text, sender text, event text, whole text, delivered_epoch bigint
insert into messages (
    hub, id, partition, instance_id, execution_id, sender, event, whole, delivered_epoch)
select {hub}, id, partition, instance_id, execution_id, sender, event, whole, delivered_epoch
from {rows}
where starts_with(instance_id, '@')
   or exists (select 1 from instances i where i.hub = {hub} and i.instance_id = rows.instance_id)
order by position
on conflict (hub, id) do nothing

-- name: delete_messages
-- rows: id text
delete from messages where hub = {hub} and id in (select id from {rows})

-- name: pending_messages
select coalesce(json_agg(json_build_array(
    m.id, m.instance_id, m.execution_id, m.sender, m.event, (m.whole is not null)::integer,
    i.number, i.execution_id, o.body)
    order by m.seq), '[]')::text
from messages m
left join instances i on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join origins o on o.number = i.number
where m.hub = {hub} and m.partition = $1::integer

-- name: undelivered_messages
select coalesce(json_agg(json_build_array(
    m.id, m.instance_id, m.execution_id, m.sender, m.event, (m.whole is not null)::integer,
    i.number, i.execution_id, o.body)
    order by m.seq), '[]')::text
from messages m
left join instances i on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join origins o on o.number = i.number
where m.hub = {hub} and m.partition = $1::integer and m.delivered_epoch = 0

-- name: whole_message
select m.id, m.instance_id, m.execution_id, m.sender, coalesce(m.whole, m.event), 0,
       i.number, i.execution_id, o.body
from messages m
left join instances i on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join origins o on o.number = i.number
where m.hub = {hub} and m.id = $1::text

-- name: note_pending
update messages set delivered_epoch = $1::bigint
where hub = {hub} and partition = $2::integer and delivered_epoch <> $1::bigint

-- name: note_delivered
-- rows: id text, epoch bigint
update messages set delivered_epoch = rows.epoch
from {rows} where messages.hub = {hub} and messages.id = rows.id

-- ---- timers ------------------------------------------------------------------------------------

-- name: insert_timers
-- rows: number bigint, task_id integer, partition integer, fire_at bigint
insert into timers (hub, number, task_id, partition, fire_at)
select {hub}, number, task_id, partition, fire_at from {rows}

-- name: delete_timers
-- rows: number bigint, task_id integer
delete from timers where (number, task_id) in (select number, task_id from {rows})

-- name: delete_timers_of_instances
-- rows: number bigint
delete from timers where number in (select number from {rows})

-- name: timers_until
select coalesce(json_agg(json_build_array(i.instance_id, i.execution_id, t.task_id, t.fire_at)
                         order by t.fire_at, t.number, t.task_id), '[]')::text
from timers t join instances i on i.number = t.number
where t.hub = {hub} and t.partition = $1::integer and t.fire_at < $2::bigint

-- name: timers
select coalesce(json_agg(json_build_array(i.instance_id, i.execution_id, t.task_id, t.fire_at)
                         order by t.fire_at, t.number, t.task_id), '[]')::text
from timers t join instances i on i.number = t.number
where t.hub = {hub} and t.partition = $1::integer
  and t.fire_at >= $2::bigint and t.fire_at < $3::bigint

-- ---- activities --------------------------------------------------------------------------------

-- name: insert_activities
-- rows: number bigint, execution_id text, task_id integer, partition integer, attempt integer, holder text, body text, large_input text
insert into activities (
    hub, number, execution_id, task_id, partition, attempt, holder, body, large_input)
select {hub}, number, execution_id, task_id, partition, attempt, holder, body, large_input
from {rows}

-- name: delete_activities
-- rows: number bigint, execution_id text, task_id integer
delete from activities
using {rows}
where activities.number = rows.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id

-- name: discard_activities
-- rows: instance_id text, execution_id text, task_id integer
delete from activities
using {rows} join instances i on i.hub = {hub} and i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id

-- name: delete_activities_of_executions
-- rows: number bigint, execution_id text
delete from activities
where (number, execution_id) in (select number, execution_id from {rows})

-- name: complete_activities
-- rows: instance_id text, execution_id text, task_id integer, holder text
delete from activities
using {rows} join instances i on i.hub = {hub} and i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id
  and activities.holder = rows.holder

-- name: offer_activities
-- rows: instance_id text, execution_id text, task_id integer, offered text, holder text
update activities set holder = null, offered = rows.offered, offer = nextval('offers')
from {rows} join instances i on i.hub = {hub} and i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id
  and activities.holder = rows.holder

-- name: offered_activities
select coalesce(json_agg(json_build_array(
    instance_id, execution_id, task_id, attempt, body, withheld)), '[]')::text
from (
    select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
           (a.large_input is not null)::integer as withheld
    from activities a join instances i on i.number = a.number
    where a.hub = {hub} and a.offered in (select json_array_elements_text($1::json))
    order by a.offer
    limit $2::bigint) found

-- name: claim_activities
-- rows: instance_id text, execution_id text, task_id integer, holder text
update activities set holder = rows.holder, offered = null
from {rows} join instances i on i.hub = {hub} and i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id

-- name: unheld_activities
select coalesce(json_agg(json_build_array(
    i.instance_id, a.execution_id, a.task_id, a.attempt + (a.holder is not null)::integer, a.body,
    (a.large_input is not null)::integer)
    order by a.number, a.execution_id, a.task_id), '[]')::text
from activities a join instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1::integer
  and (a.holder is null or a.holder not in (select host_id from hosts where hub = {hub}))

-- name: take_back_activities
update activities
set holder = $1::text, offered = null, attempt = attempt + (holder is not null)::integer
where hub = {hub} and partition = $2::integer
  and (holder is null or holder not in (select host_id from hosts where hub = {hub}))

-- name: adopt_activities
update activities set holder = $1::text, offered = null, attempt = attempt + 1
where hub = {hub} and partition = $2::integer
  and (holder is null or holder = $1::text
       or holder not in (select host_id from hosts where hub = {hub}))

-- name: held_activities
select coalesce(json_agg(json_build_array(
    i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
    (a.large_input is not null)::integer)
    order by a.number, a.execution_id, a.task_id), '[]')::text
from activities a join instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1::integer and a.holder = $2::text

-- name: whole_activity
select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body, a.large_input
from activities a join instances i on i.number = a.number
where i.hub = {hub} and i.instance_id = $1::text
  and a.execution_id = $2::text and a.task_id = $3::integer

-- name: held_activity_keys
select coalesce(json_agg(json_build_array(i.instance_id, a.execution_id, a.task_id)), '[]')::text
from activities a join instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1::integer and a.holder = $2::text

-- name: activity_holders
select coalesce(json_agg(json_build_array(a.task_id, coalesce(a.holder, ''))), '[]')::text
from activities a join instances i on i.number = a.number and i.execution_id = a.execution_id
where i.hub = {hub} and i.instance_id = $1::text

-- name: free_activities
update activities set holder = null
where hub = {hub} and partition = $1::integer and holder = $2::text

-- name: free_all_activities
update activities set holder = null where hub = {hub} and holder = $1::text

-- ---- records -----------------------------------------------------------------------------------

-- name: record
select value, version from records where hub = {hub} and key = $1::text

-- name: insert_record
insert into records (hub, key, value) values ({hub}, $1::text, $2::text)
on conflict (hub, key) do nothing

-- name: delete_record
delete from records where hub = {hub} and key = $1::text and version = $2::bigint

-- name: record_holder
select holder from record_holds where hub = {hub} and key = $1::text

-- name: hold_record
insert into record_holds (hub, key, holder)
select {hub}, $1::text, $2::text
where exists (select 1 from hosts where hub = {hub} and host_id = $2::text)
on conflict (hub, key) do update set holder = excluded.holder

-- name: release_record
delete from record_holds where hub = {hub} and key = $1::text and holder = $2::text

-- name: release_all_records
delete from record_holds where hub = {hub} and holder = $1::text
