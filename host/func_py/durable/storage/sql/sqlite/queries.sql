-- Every statement the provider executes, by name. With `-- rows: a, b`, `{rows}` is a table `rows` of
-- the values handed over, many per execution and padded with nulls, `{values}` what an insert takes
-- them from; `{any: a = ? and b = ?}` is true for what one of the rows means. `-- one:` begins what is
-- executed for a single row, where that is much cheaper. Otherwise `?` are single values. A query that reads many rows
-- answers with one JSON document: each row fetched singly would be a wait for the interpreter lock.

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

-- name: host_number
select number from hosts where host_id = ?

-- name: publish
update hosts set functions = ? where host_id = ?

-- name: stir
select
    (select coalesce(group_concat(number || (functions = '[]')), '') from hosts)
        || '/' || (select coalesce(group_concat(partition || ':' || epoch), '')
                   from partitions where holder is null),
    exists (select 1 from activities where offered is not null)

-- name: delete_host
delete from hosts where host_id = ?

-- name: held_partitions
select json_group_array(json_array(partition, epoch)) from partitions where holder = ?

-- name: holders
select json_group_array(holder) from partitions
where holder is not null and partition in (select value from json_each(?))

-- name: acquire_partition
update partitions set holder = ?1, epoch = epoch + 1
where partition = ?2 and (holder is null or holder not in (select host_id from hosts))

-- name: lease
select holder, epoch from partitions where partition = ?

-- name: release_partition
update partitions set holder = null where partition = ? and epoch = ? and holder = ?

-- name: release_all_partitions
update partitions set holder = null where holder = ?

-- Counts, where server databases change the row: nobody else writes while a transaction runs here,
-- and a commit has a page less to write.

-- name: fence_partitions
-- rows: partition, epoch, holder
select count(*) from partitions
where {any: partition = ? and epoch = ? and holder = ?}

-- ---- instances ---------------------------------------------------------------------------------

-- name: insert_instances
-- rows: number, instance_id, execution_id, turns, history_length, is_entity, created_at, status, progress, large_output
insert into instances (
    number, instance_id, execution_id, turns, history_length, is_entity, created_at, status, progress,
    large_output)
{values}
on conflict (instance_id) do nothing

-- name: update_instances
-- rows: number, fence_turns, execution_id, history_length, status, progress, large_output
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
-- one:
update instances set
    execution_id = ?3, turns = turns + 1, history_length = ?4, status = ?5, progress = ?6,
    large_output = ?7
where number = ?1 and turns = ?2

-- name: upsert_origins
-- rows: number, body, large_input
insert into origins (number, body, large_input) {values}
on conflict (number) do update set body = excluded.body, large_input = excluded.large_input

-- name: instance_status
select number, execution_id, status from instances where instance_id = ?

-- name: instance
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output
from instances i join origins o on o.number = i.number
where i.instance_id = ?

-- name: instance_with_history
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output,
       (with recursive page (first_event, body, size) as (
            select * from (
                select first_event, body, length(body) from history
                where number = i.number and first_event >= ?2
                order by first_event limit 1)
            union all
            select h.first_event, h.body, page.size + length(h.body)
            from page join history h on h.number = i.number and h.first_event = (
                select min(first_event) from history
                where number = i.number and first_event > page.first_event)
            where page.size < ?3)
        select json_group_array(body) from page)
from instances i join origins o on o.number = i.number
where i.instance_id = ?1

-- name: query_instances
select json_group_array(json_array(
    number, instance_id, execution_id, turns, history_length, created_at, status, progress, body,
    large_input, large_output))
from (
    select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at,
           i.status, i.progress, o.body, case when ?9 = 1 then o.large_input end as large_input,
           case when ?10 = 1 then i.large_output end as large_output
    from instances i join origins o on o.number = i.number
    where i.is_entity = ?1
      and i.created_at >= ?2 and i.created_at <= ?3
      and (i.created_at, i.instance_id) > (?4, ?5)
      and (?6 = '' or (i.instance_id >= ?6 and substr(i.instance_id, 1, length(?6)) = ?6))
      and (?7 = '' or i.status in (select value from json_each(?7)))
    order by i.created_at, i.instance_id
    limit ?8)

-- name: delete_instance
delete from instances where number = ?

-- name: delete_origin
delete from origins where number = ?

-- name: delete_history
delete from history where number = ?

-- name: delete_messages_of_instance
delete from messages where instance_id = ?

-- name: delete_timers_of_instance
delete from timers where number = ?

-- name: delete_activities_of_instance
delete from activities where number = ?

-- ---- history -----------------------------------------------------------------------------------

-- name: history_page
-- Row after row until the size is reached: the length of a text cannot be had without reading it.
select i.number, i.execution_id, i.turns, i.history_length,
       (with recursive page (first_event, body, size) as (
            select * from (
                select first_event, body, length(body) from history
                where number = i.number and first_event >= ?2
                order by first_event limit 1)
            union all
            select h.first_event, h.body, page.size + length(h.body)
            from page join history h on h.number = i.number and h.first_event = (
                select min(first_event) from history
                where number = i.number and first_event > page.first_event)
            where page.size < ?3)
        select json_group_array(body) from page)
from instances i
where i.instance_id = ?1

-- name: delete_histories
-- rows: number
delete from history where {any: number = ?}

-- name: insert_history
-- rows: number, first_event, body
insert into history (number, first_event, body) {values}

-- ---- messages ----------------------------------------------------------------------------------

-- name: insert_messages
-- rows: id, partition, instance_id, execution_id, sender, event, whole, delivered_epoch
insert into messages (
    id, partition, instance_id, execution_id, sender, event, delivered_epoch, whole)
select id, partition, instance_id, execution_id, sender, event, delivered_epoch, whole
from {rows}
where id is not null
  and (substr(instance_id, 1, 1) = '@'
       or exists (select 1 from instances i where i.instance_id = rows.instance_id))
on conflict (id) do nothing

-- name: delete_messages
-- rows: id
delete from messages where {any: id = ?}

-- name: pending_messages
select json_group_array(json_array(
    id, instance_id, execution_id, sender, event, withheld, number, new_execution_id, origin))
from (
    select m.id, m.instance_id, m.execution_id, m.sender, m.event, m.whole is not null as withheld,
           i.number, i.execution_id as new_execution_id, o.body as origin
    from messages m
    left join instances i on i.instance_id = m.instance_id and i.turns = 0
    left join origins o on o.number = i.number
    where m.partition = ?
    order by m.seq)

-- name: undelivered_messages
select json_group_array(json_array(
    id, instance_id, execution_id, sender, event, withheld, number, new_execution_id, origin))
from (
    select m.id, m.instance_id, m.execution_id, m.sender, m.event, m.whole is not null as withheld,
           i.number, i.execution_id as new_execution_id, o.body as origin
    from messages m
    left join instances i on i.instance_id = m.instance_id and i.turns = 0
    left join origins o on o.number = i.number
    where m.partition = ? and m.delivered_epoch = 0
    order by m.seq)

-- name: whole_message
select m.id, m.instance_id, m.execution_id, m.sender, coalesce(m.whole, m.event), 0,
       i.number, i.execution_id, o.body
from messages m
left join instances i on i.instance_id = m.instance_id and i.turns = 0
left join origins o on o.number = i.number
where m.id = ?

-- name: note_pending
update messages set delivered_epoch = ?1 where partition = ?2 and delivered_epoch <> ?1

-- name: note_delivered
-- rows: id, epoch
update messages set delivered_epoch = rows.epoch from {rows} where messages.id = rows.id

-- ---- timers ------------------------------------------------------------------------------------

-- name: insert_timers
-- rows: number, task_id, partition, fire_at
insert into timers (number, task_id, partition, fire_at) {values}

-- name: delete_timers
-- rows: number, task_id
delete from timers where {any: number = ? and task_id = ?}

-- name: delete_timers_of_instances
-- rows: number
delete from timers where {any: number = ?}

-- name: timers_until
select json_group_array(json_array(instance_id, execution_id, task_id, fire_at))
from (
    select t.fire_at, t.task_id, i.instance_id, i.execution_id
    from timers t join instances i on i.number = t.number
    where partition = ? and fire_at < ?
    order by t.fire_at, t.number, t.task_id)

-- name: timers
select json_group_array(json_array(instance_id, execution_id, task_id, fire_at))
from (
    select t.fire_at, t.task_id, i.instance_id, i.execution_id
    from timers t join instances i on i.number = t.number
    where partition = ? and fire_at >= ? and fire_at < ?
    order by t.fire_at, t.number, t.task_id)

-- ---- activities --------------------------------------------------------------------------------

-- name: insert_activities
-- rows: number, execution_id, task_id, partition, attempt, holder, body, large_input
insert into activities (
    number, execution_id, task_id, partition, attempt, holder, body, large_input)
{values}

-- Not `in (select … from {rows})`: SQLite then reads all the calls of an instance to find one.

-- name: delete_activities
-- rows: number, execution_id, task_id
delete from activities where {any: number = ? and execution_id = ? and task_id = ?}

-- name: discard_activities
-- rows: instance_id, execution_id, task_id
delete from activities where {any:
    number = (select number from instances where instance_id = ?)
    and execution_id = ? and task_id = ?}

-- name: delete_activities_of_executions
-- rows: number, execution_id
delete from activities where {any: number = ? and execution_id = ?}

-- name: complete_activities
-- rows: instance_id, execution_id, task_id, holder
delete from activities where {any:
    number = (select number from instances where instance_id = ?)
    and execution_id = ? and task_id = ? and holder = ?}

-- name: offer_activities
-- rows: instance_id, execution_id, task_id, offered, holder
update activities set holder = null, offered = rows.offered
from {rows} join instances i on i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id
  and activities.holder = rows.holder

-- name: offered_activities
select json_group_array(json_array(
    instance_id, execution_id, task_id, attempt, body, withheld))
from (
    select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
           a.large_input is not null as withheld
    from activities a join instances i on i.number = a.number
    where a.offered in (select value from json_each(?))
    order by a.number, a.execution_id, a.task_id
    limit ?)

-- name: claim_activities
-- rows: instance_id, execution_id, task_id, holder
update activities set holder = rows.holder, offered = null
from {rows} join instances i on i.instance_id = rows.instance_id
where activities.number = i.number
  and activities.execution_id = rows.execution_id
  and activities.task_id = rows.task_id

-- name: unheld_activities
select json_group_array(json_array(
    instance_id, execution_id, task_id, attempt, body, withheld))
from (
    select i.instance_id, a.execution_id, a.task_id,
           a.attempt + (a.holder is not null) as attempt, a.body,
           a.large_input is not null as withheld
    from activities a join instances i on i.number = a.number
    where a.partition = ?
      and (a.holder is null or a.holder not in (select host_id from hosts))
    order by a.number, a.execution_id, a.task_id)

-- name: take_back_activities
update activities set holder = ?1, offered = null, attempt = attempt + (holder is not null)
where partition = ?2
  and (holder is null or holder not in (select host_id from hosts))

-- name: adopt_activities
update activities set holder = ?1, offered = null, attempt = attempt + 1
where partition = ?2
  and (holder is null or holder = ?1 or holder not in (select host_id from hosts))

-- name: held_activities
select json_group_array(json_array(
    instance_id, execution_id, task_id, attempt, body, withheld))
from (
    select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
           a.large_input is not null as withheld
    from activities a join instances i on i.number = a.number
    where a.partition = ? and a.holder = ?
    order by a.number, a.execution_id, a.task_id)

-- name: whole_activity
select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body, a.large_input
from activities a join instances i on i.number = a.number
where i.instance_id = ? and a.execution_id = ? and a.task_id = ?

-- name: held_activity_keys
select json_group_array(json_array(i.instance_id, a.execution_id, a.task_id))
from activities a join instances i on i.number = a.number
where a.partition = ? and a.holder = ?

-- name: activity_holders
select json_group_array(json_array(a.task_id, coalesce(a.holder, '')))
from activities a join instances i on i.number = a.number and i.execution_id = a.execution_id
where i.instance_id = ?

-- name: free_activities
update activities set holder = null where partition = ? and holder = ?

-- name: free_all_activities
update activities set holder = null where holder = ?

-- ---- records -----------------------------------------------------------------------------------

-- name: record
select value, version from records where key = ?

-- name: insert_record
insert into records (key, value) values (?, ?) on conflict (key) do nothing

-- name: delete_record
delete from records where key = ? and version = ?

-- name: record_holder
select holder from record_holds where key = ?

-- name: hold_record
insert into record_holds (key, holder)
select ?1, ?2 where exists (select 1 from hosts where host_id = ?2)
on conflict (key) do update set holder = excluded.holder

-- name: release_record
delete from record_holds where key = ? and holder = ?

-- name: release_all_records
delete from record_holds where holder = ?
