class UnregisteredEnv(Exception):
    pass


class DependencyNotInstalled(Exception):
    pass
