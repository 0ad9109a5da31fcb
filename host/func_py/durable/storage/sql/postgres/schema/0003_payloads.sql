-- Inputs and results that are large have columns of their own, which are read only when they are
-- needed; the others then are without them.

-- The event with its payload.
alter table messages add column whole text;

alter table activities add column large_input text;

alter table origins add column large_input text;

alter table instances add column large_output text;
