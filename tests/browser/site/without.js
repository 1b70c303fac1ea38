// Takes away what the page is to do without, before the package looks for it.
if (new URL(location.href).searchParams.get('without') === 'waitAsync') delete Atomics.waitAsync;
