/* A stub of the kernel's headers, written for the test that compiles what memctl writes: types and names, nothing behind them. */
#ifndef STUB_H
#define STUB_H

#define NULL ((void *)0)
#define ENODEV 19
#define __init
enum { false, true }; /* linux/stddef.h */

struct cma;
struct device_node;
struct device {
	struct device_node *of_node;
	struct cma *cma_area;
};
struct platform_device {
	struct device dev;
};
struct of_device_id {
	const char *compatible;
};
struct device_driver {
	const char *name;
	const struct of_device_id *of_match_table;
	_Bool suppress_bind_attrs;
};
struct platform_driver {
	int (*probe)(struct platform_device *pdev);
	struct device_driver driver;
};

int dev_err_probe(const struct device *dev, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int of_reserved_mem_device_init_by_idx(struct device *dev, struct device_node *np, int idx);
void of_reserved_mem_device_release(struct device *dev);
int platform_driver_register(struct platform_driver *driver);
int cma_heap_add(struct cma *cma, void *data); /* Qualcomm's 6.6: include/linux/dma-heap.h */

#define module_init(function) int init_module(void); int init_module(void) { return function(); }
#define MODULE_DEVICE_TABLE(type, name) extern const void *stub_##type##_##name
#define MODULE_DESCRIPTION(text) extern const char stub_description[sizeof(text)]
#define MODULE_LICENSE(text) extern const char stub_license[sizeof(text)]

#endif
