// The table of processes, kept up to date by server-sent events.

const rows = new Map();
const body = document.getElementById('processes');
const connection = document.getElementById('connection');

function show(process) {
  let row = rows.get(process.namespec);
  if (!row) {
    row = body.insertRow();
    for (let i = 0; i < 3; i += 1) row.insertCell();
    rows.set(process.namespec, row);
  }
  const texts = [process.namespec, process.statename, process.description];
  texts.forEach((text, i) => { row.cells[i].textContent = text; });
}

function remove(namespec) {
  rows.get(namespec)?.remove();
  rows.delete(namespec);
}

const events = new EventSource('/api/v1/events');
const on = (name, act) => events.addEventListener(name, (event) => act(JSON.parse(event.data)));
events.onopen = () => { connection.textContent = 'live'; };
events.onerror = () => { connection.textContent = 'not connected'; };
on('snapshot', ({ processes }) => {
  const present = new Set(processes.map((process) => process.namespec));
  [...rows.keys()].filter((namespec) => !present.has(namespec)).forEach(remove);
  processes.forEach(show);
});
on('change', ({ row }) => show(row));
on('process', ({ row }) => show(row));
on('removed', ({ namespec }) => remove(namespec));
