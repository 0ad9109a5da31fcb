-- Every statement the provider executes, by name. With `-- rows: a, b`, `{rows}` is a table `rows` of
-- the values handed over, many per execution and padded with nulls; `?` are single values. A query
-- that reads many rows answers with one JSON document: each row fetched singly would be a wait for
-- the interpreter lock.

-- ---- transactions ------------------------------------------------------------------------------

-- name: begin_change
savepoint change

-- name: undo_change
rollback to change

-- name: end_change
release change

-- ---- hosts and partitions ----------------------------------------------------------------------

-- name: partition_count
select partition_count from hub

-- name: insert_hub
insert into hub (partition_count) values (?)

-- name: insert_partitions
-- rows: partition
insert into partitions (partition, holder, epoch, commit_number)
select partition, null, 0, 0 from {rows} where partition is not null

-- name: hosts
select json_group_array(json_array(host_id, boot_id, started_at, functions))
from (select * from hosts order by started_at, host_id)

-- name: insert_host
insert into hosts (host_id, boot_id, started_at, functions) values (?, ?, ?, ?)

-- name: delete_host
delete from hosts where host_id = ?

-- name: held_partitions
select json_group_array(json_array(partition, epoch)) from partitions where holder = ?

-- name: acquire_partition
update partitions set holder = ?1, epoch = epoch + 1
where partition = ?2 and (holder is null or holder not in (select host_id from hosts))

-- name: lease
select holder, epoch from partitions where partition = ?

-- name: release_partition
update partitions set holder = null where partition = ? and epoch = ? and holder = ?

-- name: release_all_partitions
update partitions set holder = null where holder = ?

-- name: fence_partitions
-- rows: partition, epoch, holder
update partitions set commit_number = commit_number + 1
from {rows}
where partitions.partition = rows.partition
  and partitions.epoch = rows.epoch
  and partitions.holder = rows.holder

-- ---- instances ---------------------------------------------------------------------------------

-- name: insert_instances
-- rows: instance_id, execution_id, turns, history_length, is_entity, created_at, status, progress
insert into instances (
    instance_id, execution_id, turns, history_length, is_entity, created_at, status, progress)
select
    instance_id, execution_id, turns, history_length, is_entity, created_at, status, progress
from {rows} where instance_id is not null
on conflict (instance_id) do nothing

-- name: update_instances
-- rows: instance_id, fence_execution_id, fence_turns, execution_id, history_length, status, progress
update instances set
    execution_id = rows.execution_id,
    turns = turns + 1,
    history_length = rows.history_length,
    status = rows.status,
    progress = rows.progress
from {rows}
where instances.instance_id = rows.instance_id
  and instances.execution_id = rows.fence_execution_id
  and instances.turns = rows.fence_turns

-- name: upsert_origins
-- rows: instance_id, body
insert into origins (instance_id, body)
select instance_id, body from {rows} where instance_id is not null
on conflict (instance_id) do update set body = excluded.body

-- name: instance_status
select execution_id, status from instances where instance_id = ?

-- name: instance
select i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body
from instances i join origins o on o.instance_id = i.instance_id
where i.instance_id = ?

-- name: instance_with_history
select i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body,
       (select json_group_array(body)
        from (select body from history where instance_id = ?1 order by first_event))
from instances i join origins o on o.instance_id = i.instance_id
where i.instance_id = ?1

-- name: query_instances
select json_group_array(json_array(
    instance_id, execution_id, turns, history_length, created_at, status, progress, body))
from (
    select i.*, o.body
    from instances i join origins o on o.instance_id = i.instance_id
    where i.is_entity = ?1
      and i.created_at >= ?2 and i.created_at <= ?3
      and (i.created_at, i.instance_id) > (?4, ?5)
      and (?6 = '' or (i.instance_id >= ?6 and substr(i.instance_id, 1, length(?6)) = ?6))
      and (?7 = '' or i.status in (select value from json_each(?7)))
    order by i.created_at, i.instance_id
    limit ?8)

-- name: delete_instance
delete from instances where instance_id = ?

-- name: delete_origin
delete from origins where instance_id = ?

-- name: delete_history
delete from history where instance_id = ?

-- name: delete_messages_of_instance
delete from messages where instance_id = ?

-- name: delete_timers_of_instance
delete from timers where instance_id = ?

-- name: delete_activities_of_instance
delete from activities where instance_id = ?

-- ---- history -----------------------------------------------------------------------------------

-- name: history
select json_group_array(body)
from (select body from history where instance_id = ? order by first_event)

-- name: delete_histories
-- rows: instance_id
delete from history where instance_id in (select cast(instance_id as text) from {rows})

-- name: insert_history
-- rows: instance_id, first_event, body
insert into history (instance_id, first_event, body)
select instance_id, first_event, body from {rows} where instance_id is not null

-- ---- messages ----------------------------------------------------------------------------------

-- name: insert_messages
-- rows: id, partition, instance_id, execution_id, sender, event, delivered_epoch
insert into messages (id, partition, instance_id, execution_id, sender, event, delivered_epoch)
select id, partition, instance_id, execution_id, sender, event, delivered_epoch
from {rows}
where id is not null
  and (substr(instance_id, 1, 1) = '@'
       or exists (select 1 from instances i where i.instance_id = rows.instance_id))
on conflict (id) do nothing

-- name: delete_messages
-- rows: id
delete from messages where id in (select cast(id as text) from {rows})

-- name: pending_messages
select json_group_array(json_array(
    id, instance_id, execution_id, sender, event, new_execution_id, origin))
from (
    select m.*, i.execution_id as new_execution_id, o.body as origin
    from messages m
    left join instances i on i.instance_id = m.instance_id and i.turns = 0
    left join origins o on o.instance_id = i.instance_id
    where m.partition = ?
    order by m.seq)

-- name: undelivered_messages
select json_group_array(json_array(
    id, instance_id, execution_id, sender, event, new_execution_id, origin))
from (
    select m.*, i.execution_id as new_execution_id, o.body as origin
    from messages m
    left join instances i on i.instance_id = m.instance_id and i.turns = 0
    left join origins o on o.instance_id = i.instance_id
    where m.partition = ? and m.delivered_epoch = 0
    order by m.seq)

-- name: note_pending
update messages set delivered_epoch = ?1 where partition = ?2 and delivered_epoch <> ?1

-- name: note_undelivered
update messages set delivered_epoch = ?1 where partition = ?2 and delivered_epoch = 0

-- ---- timers ------------------------------------------------------------------------------------

-- name: insert_timers
-- rows: instance_id, execution_id, task_id, partition, fire_at
insert into timers (instance_id, execution_id, task_id, partition, fire_at)
select instance_id, execution_id, task_id, partition, fire_at
from {rows} where instance_id is not null

-- name: delete_timers
-- rows: instance_id, execution_id, task_id
delete from timers where (instance_id, execution_id, task_id) in (
    select cast(instance_id as text), cast(execution_id as text), cast(task_id as integer)
    from {rows})

-- name: delete_timers_of_instances
-- rows: instance_id
delete from timers where instance_id in (select cast(instance_id as text) from {rows})

-- name: timers_until
select json_group_array(json_array(instance_id, execution_id, task_id, fire_at))
from (
    select * from timers
    where partition = ? and fire_at < ?
    order by fire_at, instance_id, task_id)

-- name: timers
select json_group_array(json_array(instance_id, execution_id, task_id, fire_at))
from (
    select * from timers
    where partition = ? and fire_at >= ? and fire_at < ?
    order by fire_at, instance_id, task_id)

-- ---- activities --------------------------------------------------------------------------------

-- name: insert_activities
-- rows: instance_id, execution_id, task_id, partition, attempt, holder, body
insert into activities (instance_id, execution_id, task_id, partition, attempt, holder, body)
select instance_id, execution_id, task_id, partition, attempt, holder, body
from {rows} where instance_id is not null

-- name: delete_activities
-- rows: instance_id, execution_id, task_id
delete from activities where (instance_id, execution_id, task_id) in (
    select cast(instance_id as text), cast(execution_id as text), cast(task_id as integer)
    from {rows})

-- name: delete_activities_of_executions
-- rows: instance_id, execution_id
delete from activities where (instance_id, execution_id) in (
    select cast(instance_id as text), cast(execution_id as text) from {rows})

-- name: adopt_activities
update activities set holder = ?1, attempt = attempt + 1
where partition = ?2
  and (holder is null or holder = ?1 or holder not in (select host_id from hosts))

-- name: held_activities
select json_group_array(json_array(instance_id, execution_id, task_id, attempt, body))
from (
    select * from activities where partition = ? and holder = ?
    order by instance_id, execution_id, task_id)

-- name: free_activities
update activities set holder = null where partition = ? and holder = ?

-- name: free_all_activities
update activities set holder = null where holder = ?
