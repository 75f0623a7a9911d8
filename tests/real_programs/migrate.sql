-- Long enough that whoever does not wait for the end finds no tables.
select pg_sleep(0.5);
create table if not exists orders (id bigserial primary key, taken_by text not null);
create table if not exists lives (id bigserial primary key, who text not null);
insert into lives (who) values ('migrate');
