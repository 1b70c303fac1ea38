// Takes away what the page is to do without, before the package looks for it.
const without = new URL(location.href).searchParams.get('without');
if (without === 'waitAsync') delete Atomics.waitAsync;
// Nothing but its timer makes the page look.
if (without === 'bell') Atomics.waitAsync = () => ({ async: true, value: new Promise(() => {}) });
